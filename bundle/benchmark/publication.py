"""Publication of the results: the page, its figures, the short tables and the metadata."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.benchmark.page import render
from bundle.benchmark.plan import Run
from bundle.benchmark.record import is_done
from bundle.benchmark.results import finished, load, load_speed
from bundle.benchmark.setup import Setup
from bundle.benchmark.summary import replace_eval_metrics, replace_summary
from bundle.io.files import atomic_write
from bundle.io.provenance import model_identity

__all__ = ["Places", "publish"]


@dataclass(frozen=True)
class Places:
    """The files that the results are written to.

    Args:
        page: the Markdown page.
        figures: folder of its figures.
        record: file of all scores, to which the page links.
        summaries: Markdown pages with a place for the short table.
        metadata: the ``metadata.json`` whose ``eval_metrics`` are filled in.
    """

    page: Path
    figures: Path
    record: Path | None = None
    summaries: Sequence[Path] = ()
    metadata: Path | None = None


def publish(planned: Sequence[Run], setup: Setup, places: Places, beside: Path | None = None) -> None:
    """Write the page and the other files of ``places`` from the results in the output folder, and print the page.

    Args:
        planned: all runs; the page names those without a result.
        setup: of the runs.
        places: the files to write.
        beside: output folder of runs with another source model, with which the page compares.
    """
    # Matplotlib is an optional dependency that the runs do not need.
    from bundle.benchmark.figures import write_figures

    done = [run for run in planned if is_done(run, setup)]
    results = load(done, setup.output)
    drawn = write_figures(results, setup, places.figures)
    facts = {"weights": model_identity(setup.checkpoint), **setup.provenance, "images": setup.images}
    facts["own"] = ", ".join(f"`{name}`" for name in results.recipes if setup.is_own(name))
    if places.record:
        facts["record"] = _seen_from(places.page, places.record)
    text = render(
        results,
        missing=[str(run) for run in planned if run not in done],
        speed=load_speed(setup.output),
        facts=facts,
        figures={name: _seen_from(places.page, path) for name, path in drawn.items()},
        beside=load(finished(planned, beside), beside) if beside else None,
    )
    print(text)
    with atomic_write(places.page) as path:
        path.write_text(text, encoding="utf-8")
    for page in places.summaries:
        replace_summary(page, results)
    if places.metadata:
        replace_eval_metrics(places.metadata, results)


def _seen_from(page: Path, path: Path) -> str:
    return os.path.relpath(path, page.parent)
