"""The check of the tests tells a test that notices from one that does not."""

from __future__ import annotations

import ast

import pytest

from bundle.stages import BUNDLE_ROOT
from tests.robustness import mutants, mutation_check
from tests.robustness.mutants import Mutant

FORMULA = '''"""Area."""


def area(width: int, height: int = 1) -> int:
    """Width times height."""
    if width < 0:
        raise ValueError(f"width is {width + 1}")
    done = False
    while not done:
        done = True
    return width * height
'''
TEST = "from bundle.area import area\n\n\ndef test_area():\n    assert area(3, 4) == 12\n    assert area(0, 4) == 0\n"
TESTS = {"bundle/area.py": ("tests/test_area.py",)}


@pytest.fixture
def project(tmp_path):
    for name, text in {"bundle/__init__.py": "", "bundle/area.py": FORMULA, "tests/test_area.py": TEST}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def check(project, *mutants, limit=60.0):
    return list(mutation_check.check(mutants, limit, project, TESTS))


def test_a_wrong_formula_is_caught_and_one_that_is_only_written_otherwise_survives(project):
    found = check(
        project,
        Mutant("bundle/area.py", "width * height", "width + height"),
        Mutant("bundle/area.py", "width * height", "height * width"),
        Mutant("bundle/area.py", "def area(", "def no_area("),
        Mutant("bundle/area.py", "width < 0", "0 > width", "the same"),
    )
    assert [outcome.verdict for outcome in found] == ["caught", "survived", "caught", "equivalent"]
    assert found[0].test == "tests/test_area.py::test_area"
    line, share = mutation_check.summary(found)
    assert line == "2 of 3 caught (66.7 %), 1 survived, 0 timed out; 1 equivalent, not counted"
    assert share == pytest.approx(2 / 3)
    assert "| width * height | width + height | caught | test_area |" in mutation_check.row(1, found[0])
    assert (project / "bundle" / "area.py").read_text() == FORMULA


def test_what_never_ends_is_ended(project):
    (outcome,) = check(project, Mutant("bundle/area.py", "done = True", "done = False"), limit=5.0)
    assert outcome.verdict == "timed out"
    assert mutation_check.summary([outcome])[1] == 0


@pytest.mark.parametrize(("old", "times"), [("width / height", 0), ("width", 5)])
def test_a_mutant_that_does_not_fit_is_refused(project, old, times):
    with pytest.raises(ValueError, match=f"holds {times} times, not once"):
        check(project, Mutant("bundle/area.py", old, "1"))


def test_tests_that_fail_anyway_are_refused(project):
    (project / "tests" / "test_area.py").write_text(TEST.replace("12", "13"))
    with pytest.raises(RuntimeError, match="without any change: tests/test_area.py::test_area"):
        check(project, Mutant("bundle/area.py", "width * height", "1"))


def test_the_curated_mutants_fit_the_code():
    texts = {name: (BUNDLE_ROOT / name).read_text(encoding="utf-8") for name in mutants.TESTS}
    broken = [(mutant.file, mutant.apply(texts[mutant.file])) for mutant in mutants.CURATED]
    assert len(set(broken)) == len(broken) >= 60
    for file, text in broken:
        assert text != texts[file]
        if file.endswith(".py"):
            ast.parse(text)


def test_generated_mutants_are_changes_of_what_is_computed():
    found = {(mutant.where, mutant.old, mutant.new) for mutant in mutation_check.generated("bundle/area.py", FORMULA)}
    assert found == {
        ("area", "width < 0", "(width >= 0)"),
        ("area", "0", "1"),
        ("area", "not done", "(done)"),
        ("area", "width * height", "(width / height)"),
    }


def test_the_same_seed_draws_the_same_mutants():
    one, again, other = (mutation_check.drawn(30, seed) for seed in (0, 0, 1))
    assert one == again != other
    assert len(set(one)) == 30
    for mutant in one:
        text = (BUNDLE_ROOT / mutant.file).read_text(encoding="utf-8")
        assert ast.dump(ast.parse(mutant.apply(text))) != ast.dump(ast.parse(text))


def test_every_reason_belongs_to_a_mutant_there_is():
    found = {
        (mutant.file, mutant.where, " ".join(mutant.old.split()), mutant.new)
        for mutant in mutation_check.drawn(10**6, 0)
    }
    assert set(mutants.EQUIVALENT) <= found
