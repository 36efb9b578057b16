"""The page in a real browser: every control by mouse and by key, without the network, and with many photographs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from bundle.morphometry.cup_disc import measure
from bundle.morphometry.laterality import Laterality
from bundle.morphometry.rims import measure_rims
from bundle.report.close_ups import outlined_close_up
from bundle.report.contours import CUP_COLOUR
from bundle.report.pictures import Pictures
from bundle.report.report import write_report
from bundle.report.thumbnail import small_jpeg
from bundle.results import Segmentation
from bundle.synthetic.phantoms.photographs import make_crop
from tests.support.chromium import PROGRAM, Browser, browser

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium (Debian: apt install chromium)")

NASTY = "<img src=x onerror=document.title='hacked'>&\"'.png"
STATES = {"ok.png": ("ok", 0.03), "review.png": ("review", 0.3), NASTY: ("review", 0.2)}


def write(folder: Path, count: int = 0) -> Path:
    """A report on one photograph of every status, and ``count`` more that are all right; the page's path."""
    entries = []
    phantoms = [make_crop(seed, size=256) for seed in range(3)]
    names = [*STATES, *(f"more_{index:03d}.png" for index in range(count))]
    for index, name in enumerate(names):
        status, uncertainty = STATES.get(name, ("ok", index / 1e5))
        phantom = phantoms[index % 3]
        found = outlined_close_up(phantom.image, phantom.label)
        assert found is not None
        result = Segmentation(
            name,
            status,
            "cup edge uncertain" if status != "ok" else "",
            measurements=measure(phantom.label),
            rims=measure_rims(phantom.label, Laterality("left", "guessed")),
            uncertainty=uncertainty,
        )
        pictures = Pictures(small_jpeg(found[0]), found[1], f"masks/{index}.png", f"overlays/{index}.png")
        entries.append((result, pictures))
    nothing = Segmentation("nothing.png", "no_disc", "no optic disc found")
    entries.append((nothing, Pictures(small_jpeg(Image.fromarray(phantoms[0].image)))))
    entries.append((Segmentation("broken.png", "unreadable", "the file is empty"), Pictures()))
    write_report(folder, entries, "model.pt (sha256 abc)")
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium_page() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(chromium_page: Browser, small: Path) -> Browser:
    """The small report, freshly opened."""
    chromium_page.requests.clear()
    chromium_page.errors.clear()
    chromium_page.open(small)
    return chromium_page


def is_open(page: Browser) -> bool:
    return page.run("document.getElementById('viewer').open")


def title(page: Browser) -> str:
    return page.run("document.querySelector('#details h2').textContent")


def zoom(page: Browser) -> float:
    return page.run("new DOMMatrix(getComputedStyle(document.getElementById('sheet')).transform).a")


def drawn(page: Browser, where: str) -> dict[str, bool]:
    """Whether each contour is displayed below an element."""
    shown = "getComputedStyle(document.querySelector('{} .contours .{}')).display !== 'none'"
    return {name: page.run(shown.format(where, name)) for name in ("disc", "cup")}


def yellow(path: Path) -> int:
    """Pixels of the cup's colour."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.abs(pixels - CUP_COLOUR).max(axis=2) < 25).sum())


def test_it_works_offline_and_asks_for_nothing(page: Browser, small: Path) -> None:
    page.click(".card .picture")
    page.press("ArrowRight", "ArrowRight", "d", "+")
    assert page.errors == []
    assert {request.split(":")[0] for request in page.requests} - {"about"} == {"file", "data"}
    assert [request for request in page.requests if request.startswith("file:")] == [small.resolve().as_uri()]
    assert page.run("document.title") == "Optic disc and cup"
    assert "Research use only" in page.run("document.body.innerText")
    assert "model.pt (sha256 abc)" in page.run("document.body.innerText")


def test_the_viewer_steps_through_the_photographs_by_need_of_review(page: Browser) -> None:
    page.run("document.querySelector('.card .picture').focus()")
    page.press("Enter")
    assert is_open(page)
    seen = [title(page)]
    for _ in range(5):
        page.press("ArrowRight")
        seen.append(title(page))
    assert seen == ["broken.png", "nothing.png", "review.png", NASTY, "ok.png", "ok.png"]
    page.press("ArrowLeft")
    assert title(page) == NASTY
    page.click("[data-go='-1']")
    assert title(page) == "review.png"
    assert page.run("document.getElementById('place').textContent") == "3 of 5"
    page.press("Escape")
    assert not is_open(page)
    assert "review.png" in page.run("document.activeElement.getAttribute('aria-label')")
    page.press("ArrowRight")
    assert "onerror" in page.run("document.activeElement.getAttribute('aria-label')")


def test_the_viewer_shows_what_was_measured(page: Browser) -> None:
    page.click(".card.ok .picture")
    shown = page.run("document.getElementById('details').innerText")
    for name in ("vertical CDR", "Horizontal CDR", "Area CDR", "Disc height", "Rim inferior", "Rim nasal", "Eye"):
        assert name in shown
    assert "left (guessed)" in shown


def test_contours_can_be_hidden_everywhere(page: Browser, tmp_path: Path) -> None:
    page.click(".card.review .picture")
    assert drawn(page, "#sheet") == {"disc": True, "cup": True}
    before = yellow(page.screenshot(tmp_path / "both.png"))
    page.press("c")
    assert drawn(page, "#sheet") == {"disc": True, "cup": False}
    assert yellow(page.screenshot(tmp_path / "disc.png")) < before - 200
    page.click("#viewer [data-contour='disc']")
    assert drawn(page, "#sheet") == drawn(page, ".card.review") == {"disc": False, "cup": False}
    pressed = "[...document.querySelectorAll('[data-contour=disc]')].map((b) => b.getAttribute('aria-pressed'))"
    assert page.run(pressed) == ["false", "false"]
    page.press("ArrowRight")
    assert drawn(page, "#sheet") == {"disc": False, "cup": False}
    page.press("c", "Escape")
    page.click(".legend [data-contour='disc']")
    assert drawn(page, ".card.ok") == {"disc": True, "cup": True}


def test_the_mask_is_shown_in_colours(page: Browser, tmp_path: Path) -> None:
    page.click(".card.ok .picture")
    lines = yellow(page.screenshot(tmp_path / "lines.png"))
    page.press("Escape")
    page.click(".card.ok button.fill")
    assert is_open(page)
    colour = "getComputedStyle(document.querySelector('#sheet .cup:not(.halo)')).fill"
    assert page.run(colour) == "rgb(255, 240, 120)"
    assert page.run("document.getElementById('fill').getAttribute('aria-pressed')") == "true"
    page.press("f")
    assert page.run(colour) == "none"
    assert yellow(page.screenshot(tmp_path / "again.png")) == lines
    page.press("Escape")
    page.click(".card.ok .picture")
    assert page.run(colour) == "none"


def test_zoom_by_keys_wheel_and_buttons(page: Browser) -> None:
    page.click(".card.ok .picture")
    assert zoom(page) == 1
    page.press("+", "+")
    assert zoom(page) == pytest.approx(1.25**2)
    page.press("-")
    assert zoom(page) == pytest.approx(1.25)
    page.press("0")
    assert zoom(page) == 1
    page.wheel("#stage", -400)
    assert zoom(page) == pytest.approx(np.e, rel=0.01)
    corner = "(() => { const b = document.getElementById('sheet').getBoundingClientRect(); return [b.x, b.y]; })()"
    before = page.run(corner)
    page.drag("#stage", 60, -40)
    moved = np.subtract(page.run(corner), before)
    assert moved == pytest.approx([60, -40], abs=1.5)
    page.press("ArrowRight", shift=True)
    assert page.run(corner)[0] < before[0] + 60
    assert title(page) == "ok.png"
    page.click("#viewer [data-zoom='0']")
    assert zoom(page) == 1


def test_the_contours_lie_on_the_picture(page: Browser) -> None:
    page.click(".card.ok .picture")

    def box(selector: str) -> list[float]:
        return page.run(f"Object.values(document.querySelector('{selector}').getBoundingClientRect().toJSON())")

    for where in ("#sheet", ".card.ok .picture"):
        assert box(f"{where} svg") == pytest.approx(box(f"{where} img"), abs=0.6)


def test_an_address_can_name_a_photograph(page: Browser, small: Path) -> None:
    page.open(small, at="#" + quote(NASTY))
    assert is_open(page)
    assert title(page) == NASTY
    page.open(small, at="#no%20such.png")
    assert not is_open(page)
    assert page.errors == []


def test_every_control_has_a_name(page: Browser) -> None:
    page.click(".card.ok .picture")
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    buttons = [node for node in tree if node.get("role", {}).get("value") == "button" and not node["ignored"]]
    names = {node.get("name", {}).get("value", "") for node in buttons}
    assert {"Previous photograph", "Next photograph", "Zoom in", "Zoom out", "Disc", "Cup", "Close"} <= names
    assert "" not in names


def test_the_filter_narrows_what_the_viewer_steps_through(page: Browser) -> None:
    page.click(".filters [data-status='ok']")
    page.click(".card.ok .picture")
    page.press("ArrowLeft", "ArrowRight")
    assert title(page) == "ok.png"
    assert page.run("document.getElementById('place').textContent") == "1 of 1"


def test_letters_typed_into_the_search_do_not_hide_contours(page: Browser) -> None:
    page.press("/")
    page.press("d", "c")
    assert page.run("document.getElementById('search').value") == "dc"
    assert page.run("document.documentElement.className") == ""


def test_it_looks_right(page: Browser, small: Path, tmp_path: Path) -> None:
    """Screenshots for people, in light and dark, wide and narrow; and no page is wider than its window."""
    for name, width, dark in (("wide", 1400, False), ("dark", 1400, True), ("narrow", 400, False)):
        page.open(small, width, 900, dark)
        assert page.run("document.documentElement.scrollWidth") <= width
        page.screenshot(tmp_path / f"{name}.png")
        page.click(".card.ok .picture")
        assert page.run("document.getElementById('viewer').scrollWidth") <= width
        shot = page.screenshot(tmp_path / f"{name}_viewer.png")
        assert yellow(shot) > 200


def test_500_photographs_stay_fluent(chromium_page: Browser, tmp_path: Path) -> None:
    path = write(tmp_path / "many", 500)
    assert path.stat().st_size < 505 * 40_000
    chromium_page.requests.clear()
    chromium_page.open(path)
    assert chromium_page.run("performance.getEntriesByType('navigation')[0].duration") < 5000

    def milliseconds(action: str) -> float:
        return chromium_page.run(
            f"(() => {{ const start = performance.now(); {action}; document.body.offsetHeight;"
            " return performance.now() - start; })()"
        )

    for action in (
        "document.querySelector('.filters [data-status=review]').click()",
        "document.querySelector('.filters [data-status=\"\"]').click()",
        "window.scrollTo(0, 30000)",
        "document.querySelectorAll('.card .picture')[400].click()",
        "document.querySelector('[data-go=\"1\"]').click()",
    ):
        assert milliseconds(action) < 600, action
    assert is_open(chromium_page)
    chromium_page.screenshot(tmp_path / "many.png")
    # Pictures out of sight are not decoded.
    assert 0 < sum(request.startswith("data:image/jpeg") for request in chromium_page.requests) < 60
    shutil.rmtree(tmp_path / "many")
