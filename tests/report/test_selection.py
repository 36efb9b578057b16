"""The photographs to correct first have cups of every size, and the least work in each."""

from __future__ import annotations

import csv
import math
import random

import pytest

from bundle.morphometry.cup_disc import Measurements
from bundle.report.pictures import Pictures
from bundle.report.report import write_report
from bundle.report.selection import chosen_to_correct
from bundle.results import Segmentation


def eye(name, vcdr, uncertainty=0.05, status="ok"):
    return Segmentation(name, status, measurements=Measurements(vcdr=vcdr), uncertainty=uncertainty)


def test_every_fifth_of_the_ratios_gives_one_and_the_surest_of_it():
    eyes = [eye(f"{i:02d}", 0.2 + i / 40, 0.01 if i % 4 == 1 else 0.1) for i in range(20)]
    random.Random(0).shuffle(eyes)
    chosen = chosen_to_correct(eyes)
    assert [each.image for each in chosen] == ["09", "17", "01", "13", "05"]


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5])
def test_few_photographs_are_all_chosen(count):
    eyes = [eye(str(i), 0.3 + i / 10) for i in range(count)]
    assert sorted(each.image for each in chosen_to_correct(eyes)) == [str(i) for i in range(count)]


def test_what_has_no_cup_is_not_chosen():
    none = [eye("a", 0.0), eye("b", math.nan, math.nan, "no_disc"), Segmentation("c", "unreadable", "empty")]
    assert [each.image for each in chosen_to_correct([*none, eye("d", 0.4)])] == ["d"]


def test_the_table_and_the_page_name_them(tmp_path):
    eyes = [eye(f"<{i}>.png", 0.3 + i / 100) for i in range(30)]
    write_report(tmp_path, [(each, Pictures()) for each in eyes])
    with (tmp_path / "selection.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == list("12345")
    assert [row["image"] for row in rows] == [each.image for each in chosen_to_correct(eyes)]
    assert rows[0]["vcdr"] == f"{eyes[int(rows[0]['image'][1:-5])].measurements.vcdr:.4f}"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    listed = page.partition('<p class="correct">')[2].partition("</p>")[0]
    assert [listed.find(row["image"].replace("<", "&lt;").replace(">", "&gt;")) > 0 for row in rows] == [True] * 5


def test_of_a_single_photograph_the_page_says_nothing(tmp_path):
    write_report(tmp_path, [(eye("a.png", 0.4), Pictures())])
    assert '<p class="correct">' not in (tmp_path / "report.html").read_text(encoding="utf-8")
