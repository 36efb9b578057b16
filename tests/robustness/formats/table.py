"""The table of all variants in docs/reference/formats.md."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from tests.robustness.formats.dicom import dicom_variants
from tests.robustness.formats.jpeg import jpeg_variants
from tests.robustness.formats.others import other_variants
from tests.robustness.formats.png import png_variants
from tests.robustness.formats.tiff import tiff_variants
from tests.robustness.formats.variant import Variant, outcome

__all__ = ["BEGIN", "END", "all_outcomes", "differences", "page_with_table"]

BEGIN, END = "<!-- formats -->\n", "<!-- end of formats -->\n"
Outcomes = dict[str, list[tuple[str, str]]]
"""By kind: name and outcome of each variant."""


def all_outcomes() -> Outcomes:
    """What becomes of every variant, in some fifteen seconds."""
    sources = (png_variants(), jpeg_variants(), tiff_variants(), other_variants(), dicom_variants())
    variants: Iterator[Variant] = chain.from_iterable(sources)
    found: Outcomes = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for variant in variants:
            found[variant.kind].append((variant.name, outcome(variant, Path(folder))))
    return dict(found)


def differences(found: Outcomes) -> list[str]:
    """Variants that were read in another way than the second decoder reads them."""
    return [
        f"{kind}, {name}: {result}"
        for kind, results in found.items()
        for name, result in results
        if result.startswith("different")
    ]


def page_with_table(page: str, found: Outcomes) -> str:
    """The page with its table written anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + "\n" + "\n".join(_lines(found)) + "\n\n" + END + tail


def _lines(found: Outcomes) -> Iterator[str]:
    yield "| kind | variants | same as the second decoder | refused | reasons |"
    yield "| --- | --- | --- | --- | --- |"
    total: Counter[str] = Counter()
    for kind, results in found.items():
        counts = Counter(result.partition(":")[0] for _, result in results)
        total.update(counts)
        reasons = dict.fromkeys(result.split(": ")[1] for _, result in results if result.startswith("refused"))
        yield _row(kind, counts, reasons)
    yield _row("**all**", total, ())


def _row(kind: str, counts: Counter[str], reasons: Iterable[str]) -> str:
    return f"| {kind} | {counts.total()} | {counts['same']} | {counts['refused']} | {'; '.join(reasons)} |"
