"""The load check of MONAI Label's server tells right answers from wrong ones."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("psutil")
pytest.importorskip("requests")

from tests.robustness import label_load  # noqa: E402

MASK = np.array([[0, 1], [2, 1]], np.uint8)


def answer(status: int, mask: np.ndarray | None = None) -> SimpleNamespace:
    content = io.BytesIO()
    if mask is not None:
        Image.fromarray(mask).save(content, "PNG")
    return SimpleNamespace(status_code=status, content=content.getvalue())


@pytest.mark.parametrize(
    ("given", "name", "verdict"),
    [
        (answer(200, MASK), "a.png", "right"),
        (answer(200, MASK.T), "a.png", "another mask"),
        (answer(200, MASK[:1]), "a.png", "another mask"),
        (answer(500), "a.png", "status 500"),
        (answer(422), label_load.BROKEN, "refused"),
        (answer(200, MASK), label_load.BROKEN, "a mask for a broken photograph"),
    ],
)
def test_an_answer_is_judged_by_the_command_lines_mask(given, name, verdict):
    assert label_load.judged(given, name, {"a": MASK}) == verdict


def test_what_the_clients_saw_is_told(capsys):
    tally = label_load.Tally()
    for second in range(100):
        tally.add("right" if second else "another mask", float(second))
    label_load.print_tally(tally, [1000.0, 1010.4], 2, ended=True)
    printed = capsys.readouterr().out
    assert "2 clients, 100 answers: {'right': 99, 'another mask': 1}" in printed
    assert "median 49.50" in printed
    assert "longest 99.00" in printed
    assert "1000, 1010" in printed
    assert "the server ended" in printed
