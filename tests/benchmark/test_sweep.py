"""The grids of a sweep, and its table."""

from __future__ import annotations

from bundle.benchmark.plan import CONFIG
from bundle.benchmark.sweep import grad_cl_grid, peers_grid, report


def test_peers_are_swept_at_multiples_of_their_own_rate():
    rate = CONFIG["recipes"]["dpl"]["learning_rate"]
    grid = peers_grid(["dpl"], [1, 0.5])
    assert list(grid) == ["source", f"dpl, lr {rate:g}", f"dpl, lr {rate / 2:g}"]
    halved = grid[f"dpl, lr {rate / 2:g}"]
    # Harm is not undone: it is what the sweep is there to show.
    assert halved == {**CONFIG["recipes"]["dpl"], "learning_rate": rate / 2, "harm_tolerance": None}


def test_grad_cl_is_swept_over_all_combinations_and_beside_the_literature():
    grid = grad_cl_grid([0, 0.3], [1e-3, 1e-4], [2e-3], [0, 1])
    assert list(grid)[:2] == ["source", "as in DPL, lr 0.002"]
    assert sum(name.startswith("grad_cl") for name in grid) == 2 * 2 * 2
    # Without the target's statistics there is nothing to adapt by them.
    assert [name for name in grid if name.startswith("bn")] == ["bn, share 0.3"]
    choice = grid["grad_cl, share 0.3, lr 0.0001, lambda 1"]
    assert choice is not None
    assert (choice["statistics"], choice["learning_rate"], choice["losses"]["separation"]) == (0.3, 1e-4, 1)


def test_the_table_averages_over_the_shifts_that_are_done(tmp_path, capsys):
    report({"source": {"all": 0.5, "none": 0.7}, "bn": {"all": 0.4, "none": 0.9}}, tmp_path / "sweep.md")
    expected = [
        "| setting | all | none | mean |",
        "| --- | --- | --- | --- |",
        "| source | 0.5000 | 0.7000 | 0.6000 |",
        "| bn | 0.4000 | 0.9000 | 0.6500 |",
    ]
    assert (tmp_path / "sweep.md").read_text().splitlines() == expected
    assert capsys.readouterr().out.splitlines() == expected
