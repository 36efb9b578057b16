"""The table and the page: their contents, their order, and that names cannot break out of either."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from bundle.data.spacing import PixelSpacing
from bundle.morphometry.cup_disc import Measurements
from bundle.morphometry.laterality import Laterality
from bundle.morphometry.rims import Rims
from bundle.report.close_ups import outlined_close_up
from bundle.report.pictures import Pictures
from bundle.report.report import write_report
from bundle.report.tables import COLUMNS, RIM_COLUMNS
from bundle.report.thumbnail import small_jpeg
from bundle.results import STATUSES, Segmentation, count_statuses, summary_line
from bundle.uncertainty.interval import Interval
from bundle.uncertainty.quality import Quality

NASTY = "b <script>alert('x')</script> \"q\" & ä\n.png"


class Page(HTMLParser):
    """Collects elements with their attributes, and the text inside each card."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cards: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "article":
            self._inside = True
            self.cards.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "article"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cards[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


PICTURE = small_jpeg(Image.new("RGB", (640, 480), (160, 60, 30)))
RESULTS = {
    "high": Segmentation(
        "a/high.png", "review", "two views, disagree", measurements=Measurements(vcdr=0.3), uncertainty=0.4
    ),
    "low": Segmentation("a/low.png", "review", "soft border", measurements=Measurements(vcdr=0.81), uncertainty=0.1),
    "nasty": Segmentation(NASTY, "no_disc", "nothing <found>"),
    "c": Segmentation(
        "c.png",
        "ok",
        measurements=Measurements(0.51239, 0.5, 0.25, 120.126, 80.5, 200.0, 190.0, 102.478, 95.0),
        uncertainty=0.02,
    ),
    "d": Segmentation("d.png", "unreadable", "cut short"),
}
"""One photograph of every status, and a second one for review."""
ENTRIES = {key: (result, Pictures(PICTURE)) for key, result in RESULTS.items()} | {
    "c": (RESULTS["c"], Pictures(PICTURE, mask="masks/c.png", overlay="overlays/c.png")),
    "d": (RESULTS["d"], Pictures()),
}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The folder of a report of ``ENTRIES``."""
    write_report(tmp_path / "out", list(ENTRIES.values()), "model.pt & more", "A <title>")
    return tmp_path / "out"


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_page(folder: Path) -> str:
    return (folder / "report.html").read_text("utf-8")


def test_counts_and_summary(tmp_path: Path) -> None:
    counts = write_report(tmp_path, list(ENTRIES.values()))
    assert counts == {"ok": 1, "review": 2, "no_disc": 1, "unreadable": 1} == count_statuses(RESULTS.values())
    assert tuple(counts) == STATUSES
    assert summary_line(counts) == "5 photographs: 1 ok, 2 review, 1 no_disc, 1 unreadable"
    assert summary_line(count_statuses([Segmentation("x.png", "no_disc")])) == (
        "1 photograph: 0 ok, 0 review, 1 no_disc, 0 unreadable"
    )


def test_table(report: Path) -> None:
    raw = (report / "report.csv").read_bytes()
    assert raw.startswith(
        b"image,status,vcdr,hcdr,area_cdr,disc_x,disc_y,disc_height_px,cup_height_px,uncertainty,reason\n"
    )
    rows = read_table(report)
    assert tuple(rows[0]) == COLUMNS
    assert [row["image"] for row in rows] == ["a/high.png", "a/low.png", NASTY, "c.png", "d.png"]
    values = ["c.png", "ok", "0.5124", "0.5000", "0.2500", "120.13", "80.50", "200.00", "102.48", "0.0200", ""]
    assert list(rows[3].values()) == values
    assert rows[0]["reason"] == "two views, disagree"
    assert list(rows[4].values()) == ["d.png", "unreadable", *[""] * 8, "cut short"]


def test_rims_have_a_table_of_their_own(tmp_path: Path) -> None:
    known, unknown = Laterality("left", "guessed"), Laterality()
    more = {
        "c": (
            Segmentation(
                "c.png",
                "ok",
                rims=Rims(40.126, 35.5, 20.0, 30.0, known),
                vcdr_interval=Interval(0.41, 0.63),
                quality=Quality(0.51234, 0.01, 0.5, 0.0, 0.93, 1, 0.25, 0.12),
            ),
            Pictures(),
        ),
        "=d": (Segmentation("=d.png", "ok", rims=Rims(40.0, 35.0, 20.0, math.nan, unknown)), Pictures()),
    }
    write_report(tmp_path, list((ENTRIES | more).values()))
    with (tmp_path / "measurements.csv").open(encoding="utf-8", newline="") as file:
        lines = {row["image"]: row for row in csv.DictReader(file)}
    assert tuple(lines["c.png"]) == RIM_COLUMNS
    assert list(lines["c.png"].values())[1:] == [
        "left",
        "guessed",
        "40.13",
        "35.50",
        "20.00",
        "30.00",
        "20.00",
        "30.00",
        "0.4100",
        "0.6300",
        *[""] * 12,
        *("0.5123", "0.0100", "0.5000", "0.0000", "0.9300", "1", "0.2500", "0.1200"),
    ]
    in_pixels = ["40.00", "35.00", "", "", "20.00", "", "", ""]
    assert list(lines["'=d.png"].values())[1:] == ["unknown", "", *in_pixels, *[""] * 20]
    assert list(lines["d.png"].values())[1:] == ["unknown", *[""] * 29]
    assert set(lines) == {row["image"] for row in read_table(tmp_path)}
    cards = Page(read_page(tmp_path)).cards
    (card,) = [card for card in cards if "c.png" in card]
    assert "left (guessed)" in card
    assert "0.41 to 0.63" in card
    assert "Rim nasal20.0" in card
    (card,) = [card for card in cards if "=d.png" in card]
    assert "Eyeunknown" in card
    assert "Rim left of picture20.0" in card
    assert "nasal" not in card


def test_sizes_are_in_millimetres_where_the_spacing_is_known(tmp_path: Path) -> None:
    known = Laterality("right", "file")
    sizes = Measurements(disc_height_px=180.0, disc_width_px=80.0, cup_height_px=90.0, cup_width_px=40.0)
    result = Segmentation(
        "a.dcm",
        "ok",
        measurements=replace(sizes, disc_area_px=11000.0, cup_area_px=3000.0),
        rims=Rims(40.0, 35.0, 10.0, 15.0, known),
        spacing=PixelSpacing(0.01, 0.02),
        rims_mm=Rims(0.4, 0.35, 0.2, 0.3, known),
    )
    again = Segmentation.from_json(json.loads(json.dumps(result.to_json())))
    write_report(tmp_path, [(again, Pictures())])
    with (tmp_path / "measurements.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    sizes_mm = ["1.8000", "1.6000", "0.9000", "0.8000", "2.2000", "0.6000"]
    rims_mm = ["0.4000", "0.3500", "0.3000", "0.2000", "0.2000", "0.3000"]
    assert [value for name, value in row.items() if "_mm" in name] == [*sizes_mm, *rims_mm]
    (card,) = Page(read_page(tmp_path)).cards
    assert "180.0\xa0px (1.80\xa0mm)" in card
    assert "Rim nasal15.0\xa0px (0.30\xa0mm)" in card


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_table_disarms_formulas(tmp_path: Path, start: str) -> None:
    result = Segmentation(f"{start}HYPERLINK(1).png", "ok", reason=f"{start}1+1", measurements=Measurements(vcdr=-0.5))
    write_report(tmp_path, [(result, Pictures())])
    (row,) = read_table(tmp_path)
    shown = r"\r" if start == "\r" else start
    assert row["image"] == f"'{shown}HYPERLINK(1).png"
    assert row["reason"] == f"'{shown}1+1"
    assert row["vcdr"] == "-0.5000"


def test_page_is_self_contained(report: Path) -> None:
    text = read_page(report)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "url(" not in text
    page = Page(text)
    sources = [attributes["src"] or "" for _, attributes in page.elements if "src" in attributes]
    assert len(sources) == 4
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert all(attributes["loading"] == "lazy" for attributes in page.all("img"))
    assert [attributes["href"] for attributes in page.all("link")] == ["data:,"]
    assert max(len(source) for source in sources) < 40_000


def test_page_escapes_names_and_reasons(report: Path) -> None:
    text = read_page(report)
    assert text.count("<script>") == text.count("<script") == 1
    assert "<title>A &lt;title&gt;</title>" in text
    assert "model.pt &amp; more" in text
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/" in text
    page = Page(text)
    assert "nothing <found>" in page.cards[1]
    assert r"ä\n.png" in page.cards[1]
    known = {"class", "data-status", "data-find"}
    assert all(set(attributes) == known for attributes in page.all("article"))


def test_page_has_every_row_once_by_need_of_review(report: Path) -> None:
    page = Page(read_page(report))
    assert [card["data-status"] for card in page.all("article")] == ["unreadable", "no_disc", "review", "review", "ok"]
    for card, name in zip(page.cards, ["d.png", 'script> "q"', "high.png", "low.png", "c.png"], strict=True):
        assert name in card
        assert sum(name in other for other in page.cards) == 1
    assert "0.51" in page.cards[4]
    assert "102.5" in page.cards[4]
    assert "Could not be read" in page.cards[0]
    assert "cut short" in page.cards[0]
    assert page.cards[0].count("\u2013") == 6
    assert "nan" not in "".join(page.cards)


def test_page_carries_the_caution_and_the_model(report: Path) -> None:
    text = read_page(report)
    assert "Research use only. Not a medical device." in text
    assert "Contours are automatic and must be checked by a qualified reader." in text
    assert "model.pt &amp; more" in text
    assert "of 3 photographs, median 0.51" in text
    assert text.count("<rect") == 3
    assert "$" not in text


def test_links_are_relative_and_encoded(tmp_path: Path) -> None:
    names = ["masks/a b #1?%.png", "//host/x.png", "data:text", 'masks/ä".png']
    results = [Segmentation(f"{i}.png", "ok", uncertainty=-i) for i in range(len(names))]
    write_report(tmp_path, [(result, Pictures(mask=name)) for result, name in zip(results, names, strict=True)])
    links = [anchor["href"] or "" for anchor in Page(read_page(tmp_path)).all("a")][: len(names)]
    for link, name in zip(links, names, strict=True):
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
        assert unquote(parts.path) == f"./{name.lstrip('/')}"


def test_nothing_temporary_stays(report: Path) -> None:
    assert sorted(path.name for path in report.iterdir()) == [
        "measurements.csv",
        "report.csv",
        "report.html",
        "selection.csv",
    ]


def test_pictures_are_reduced_to_cards() -> None:
    with Image.open(io.BytesIO(PICTURE)) as picture:
        assert picture.size == (512, 384)


def test_a_failure_leaves_the_old_page_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "report.html"
    page.write_text("old", encoding="utf-8")

    def fail(*_: object) -> dict[str, str]:
        raise OSError("disk full")

    monkeypatch.setattr("bundle.report.page._card", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, list(ENTRIES.values()))
    assert page.read_text("utf-8") == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "measurements.csv",
        "report.csv",
        "report.html",
        "selection.csv",
    ]


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "odd \udce9.png", "new\nline.png"])
def test_odd_names_can_be_written(tmp_path: Path, name: str) -> None:
    result = Segmentation(name, "ok", measurements=Measurements(vcdr=math.inf))
    write_report(tmp_path, [(result, Pictures(small_jpeg(Image.new("L", (30, 20))), mask=f"masks/{name}"))])
    (row,) = read_table(tmp_path)
    assert row["vcdr"] == ""
    assert len(Page(read_page(tmp_path)).all("img")) == 1


def test_an_empty_report_can_be_written(tmp_path: Path) -> None:
    write_report(tmp_path, [])
    assert read_table(tmp_path) == []
    assert "0 photographs" in read_page(tmp_path)


def test_a_photograph_takes_less_than_40_kb(tmp_path: Path) -> None:
    """Noise, which compresses worst, with the contours of a real size."""
    write_report(tmp_path, [])
    empty = (tmp_path / "report.html").stat().st_size
    pixels = np.random.default_rng(0).integers(0, 256, (800, 900, 3), np.uint8)
    y, x = np.mgrid[:800, :900]
    radius = np.hypot(x - 450, y - 400)
    label = (radius < 250).astype(np.uint8) + (radius < 130)
    found = outlined_close_up(pixels, label)
    assert found is not None
    result = Segmentation("noise.png", "ok", measurements=Measurements(vcdr=0.52))
    pictures = Pictures(small_jpeg(found[0]), found[1], "masks/noise.png", "overlays/noise.png")
    write_report(tmp_path, [(result, pictures)])
    assert 10_000 < (tmp_path / "report.html").stat().st_size - empty < 40_000
