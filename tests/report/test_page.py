"""The table and the page: their contents, their order, and that names cannot break out of either."""

from __future__ import annotations

import csv
import io
import json
import math
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from bundle.morphometry.cup_disc import Measurements
from bundle.morphometry.laterality import Laterality
from bundle.morphometry.rims import Rims
from bundle.report.overlays import Outlines, outlined_close_up
from bundle.report.page import Report
from bundle.report.tables import COLUMNS, RIM_COLUMNS
from bundle.report.thumbnail import small_jpeg
from bundle.results import STATUSES, Entry, Row, count_statuses, summary_line

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
ROWS = {
    "high": Row("a/high.png", "review", 0.3, uncertainty=0.4, reason="two views, disagree"),
    "low": Row("a/low.png", "review", 0.81, uncertainty=0.1, reason="soft border"),
    "nasty": Row(NASTY, "no_disc", reason="nothing <found>"),
    "c": Row("c.png", "ok", 0.51239, 0.5, 0.25, 120.126, 80.5, 200.0, 102.478, 0.02),
    "d": Row("d.png", "unreadable", reason="cut short"),
}
"""One photograph of every status, and a second one for review."""
ENTRIES = {key: Entry(row, PICTURE) for key, row in ROWS.items()} | {
    "c": Entry(ROWS["c"], PICTURE, "masks/c.png", "overlays/c.png"),
    "d": Entry(ROWS["d"]),
}


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "out", title="A <title>", model="model.pt & more")


def read_table(report: Report) -> list[dict[str, str]]:
    with (report.output_dir / "report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_page(report: Report) -> str:
    return (report.output_dir / "report.html").read_text("utf-8")


def test_counts_and_summary(report: Report) -> None:
    counts = report.write(list(ENTRIES.values()))
    assert counts == {"ok": 1, "review": 2, "no_disc": 1, "unreadable": 1} == count_statuses(ROWS.values())
    assert tuple(counts) == STATUSES
    assert summary_line(counts) == "5 photographs: 1 ok, 2 review, 1 no_disc, 1 unreadable"
    assert summary_line(count_statuses([Row("x.png", "no_disc")])) == (
        "1 photograph: 0 ok, 0 review, 1 no_disc, 0 unreadable"
    )


def test_an_entry_comes_back_from_json() -> None:
    outlines, rims = Outlines(10, 20, "M1 1z", ""), Rims(1.5, math.nan, 2.5, 0.1 + 0.2, Laterality("left", "guessed"))
    entries = [
        *ENTRIES.values(),
        Entry(Row("odd \udce9.png", "ok", 1 / 3, math.nan), PICTURE, "masks/x.png", None, outlines, rims),
    ]
    for entry in entries:
        back = Entry.from_json(json.loads(json.dumps(entry.to_json())))
        assert repr(back) == repr(entry)  # NaN equals nothing, not even itself


def test_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="doubtful"):
        Row("x.png", "doubtful")


def test_row_of_measurements() -> None:
    row = Row.of("x.png", "ok", Measurements(0.5, 0.4, 0.2, 10.0, 20.0, 30.0, 31.0, 15.0, 12.0), uncertainty=0.1)
    assert row == Row("x.png", "ok", 0.5, 0.4, 0.2, 10.0, 20.0, 30.0, 15.0, 0.1, "")


def test_table(report: Report) -> None:
    report.write(list(ENTRIES.values()))
    raw = (report.output_dir / "report.csv").read_bytes()
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


def test_rims_have_a_table_of_their_own(report: Report) -> None:
    known, unknown = Laterality("left", "guessed"), Laterality()
    more = {
        "c": Entry(Row("c.png", "ok", 0.5), rims=Rims(40.126, 35.5, 20.0, 30.0, known)),
        "=d": Entry(Row("=d.png", "ok", 0.5), rims=Rims(40.0, 35.0, 20.0, math.nan, unknown)),
    }
    report.write(list((ENTRIES | more).values()))
    with (report.output_dir / "measurements.csv").open(encoding="utf-8", newline="") as file:
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
    ]
    assert list(lines["'=d.png"].values())[1:] == ["unknown", "", "40.00", "35.00", "", "", "20.00", ""]
    assert list(lines["d.png"].values())[1:] == ["unknown", *[""] * 7]
    assert set(lines) == {row["image"] for row in read_table(report)}
    cards = Page(read_page(report)).cards
    (card,) = [card for card in cards if "c.png" in card]
    assert "left (guessed)" in card
    assert "Rim nasal20.0" in card
    (card,) = [card for card in cards if "=d.png" in card]
    assert "Eyeunknown" in card
    assert "Rim left of picture20.0" in card
    assert "nasal" not in card


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_table_disarms_formulas(tmp_path: Path, start: str) -> None:
    report = Report(tmp_path)
    report.write([Entry(Row(f"{start}HYPERLINK(1).png", "ok", -0.5, reason=f"{start}1+1"))])
    (row,) = read_table(report)
    shown = r"\r" if start == "\r" else start
    assert row["image"] == f"'{shown}HYPERLINK(1).png"
    assert row["reason"] == f"'{shown}1+1"
    assert row["vcdr"] == "-0.5000"


def test_page_is_self_contained(report: Report) -> None:
    report.write(list(ENTRIES.values()))
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


def test_page_escapes_names_and_reasons(report: Report) -> None:
    report.write(list(ENTRIES.values()))
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


def test_page_has_every_row_once_by_need_of_review(report: Report) -> None:
    report.write(list(ENTRIES.values()))
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


def test_page_carries_the_caution_and_the_model(report: Report) -> None:
    report.write(list(ENTRIES.values()))
    text = read_page(report)
    assert "Research use only. Not a medical device." in text
    assert "Contours are automatic and must be checked by a qualified reader." in text
    assert "model.pt &amp; more" in text
    assert "of 3 photographs, median 0.51" in text
    assert text.count("<rect") == 3
    assert "$" not in text


def test_links_are_relative_and_encoded(tmp_path: Path) -> None:
    names = ["masks/a b #1?%.png", "//host/x.png", "data:text", 'masks/ä".png']
    report = Report(tmp_path)
    report.write([Entry(Row(f"{i}.png", "ok", uncertainty=-i), mask_name=name) for i, name in enumerate(names)])
    links = [anchor["href"] or "" for anchor in Page(read_page(report)).all("a")][: len(names)]
    for link, name in zip(links, names, strict=True):
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
        assert unquote(parts.path) == f"./{name.lstrip('/')}"


def test_nothing_temporary_stays(report: Report) -> None:
    report.write(list(ENTRIES.values()))
    assert sorted(path.name for path in report.output_dir.iterdir()) == [
        "measurements.csv",
        "report.csv",
        "report.html",
    ]


def test_pictures_are_reduced_to_cards() -> None:
    with Image.open(io.BytesIO(PICTURE)) as picture:
        assert picture.size == (512, 384)


def test_a_failure_leaves_the_old_page_whole(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    report.output_dir.mkdir()
    page = report.output_dir / "report.html"
    page.write_text("old", encoding="utf-8")

    def fail(entry: object) -> dict[str, str]:
        raise OSError("disk full")

    monkeypatch.setattr("bundle.report.page._card", fail)
    with pytest.raises(OSError, match="disk full"):
        report.write(list(ENTRIES.values()))
    assert page.read_text("utf-8") == "old"
    assert sorted(path.name for path in report.output_dir.iterdir()) == [
        "measurements.csv",
        "report.csv",
        "report.html",
    ]


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "odd \udce9.png", "new\nline.png"])
def test_odd_names_can_be_written(tmp_path: Path, name: str) -> None:
    report = Report(tmp_path)
    report.write([Entry(Row(name, "ok", math.inf), small_jpeg(Image.new("L", (30, 20))), f"masks/{name}")])
    (row,) = read_table(report)
    assert row["vcdr"] == ""
    assert len(Page(read_page(report)).all("img")) == 1


def test_an_empty_report_can_be_written(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.write([])
    assert read_table(report) == []
    assert "0 photographs" in read_page(report)


def test_a_photograph_takes_less_than_40_kb(tmp_path: Path) -> None:
    """Noise, which compresses worst, with the contours of a real size."""
    report = Report(tmp_path)
    report.write([])
    empty = (tmp_path / "report.html").stat().st_size
    pixels = np.random.default_rng(0).integers(0, 256, (800, 900, 3), np.uint8)
    y, x = np.mgrid[:800, :900]
    radius = np.hypot(x - 450, y - 400)
    label = (radius < 250).astype(np.uint8) + (radius < 130)
    found = outlined_close_up(pixels, label)
    assert found is not None
    row = Row("noise.png", "ok", 0.52)
    report.write([Entry(row, small_jpeg(found[0]), "masks/noise.png", "overlays/noise.png", found[1])])
    assert 10_000 < (tmp_path / "report.html").stat().st_size - empty < 40_000
