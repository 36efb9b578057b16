"""The figures of the benchmark's page. This module needs Matplotlib, an optional dependency."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from bundle.benchmark.plan import PHANTOMS, PLUS, REAL, SOURCE, SUPERVISED
from bundle.benchmark.results import Result, Results
from bundle.benchmark.setup import Setup
from bundle.data.listing import list_photographs
from bundle.io.files import atomic_write
from bundle.report.contours import CUP_COLOUR, DISC_COLOUR
from bundle.report.overlays import draw_overlay

__all__ = ["gallery_figure", "gap_closed_figure", "reliability_figure", "write_figures"]

mpl.use("Agg")
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a9499",
    "axes.labelcolor": "#20262a",
    "xtick.color": "#20262a",
    "ytick.color": "#20262a",
}
# The proposed recipe and the one it builds on have strong colours; the others share a pale one and differ in form.
COLOURS = {PLUS: "#c8102e", "grad_cl": "#0b5fa5"}
PALE, MARKERS = "#7d8a91", "sv^DP*Xhd<>"
SOURCE_COLOUR = "#5c6b73"
LOWEST, HIGHEST = -100.0, 130.0
"""Ends of the axis of the closed gap, in per cent; a value beyond is drawn at the end, with its number."""
BINS = 8
"""Number of groups of photographs with similar uncertainty, whose means are drawn."""
ROWS = 4
"""Number of photographs in a gallery."""


def write_figures(results: Results, setup: Setup, folder: Path) -> dict[str, Path]:
    """Draw all figures for which there are results.

    Args:
        results: all finished runs.
        setup: says where a target's scored photographs lie; the gallery of real photographs, which must not be
            published, goes to its ``output``.
        folder: receives the other figures.

    Returns:
        The files by the figures' names; the gallery of real photographs is not among them.
    """
    drawn = {}
    with mpl.rc_context(STYLE):
        figures = {
            "gap_closed": gap_closed_figure(results),
            "reliability": reliability_figure(results),
            "gallery": gallery_figure(results, PHANTOMS, setup),
        }
        for name, figure in figures.items():
            if figure is not None:
                # Photographs are a tenth of the size as JPEG; lines and letters stay sharp as PNG.
                drawn[name] = _save(figure, folder / f"{name}.{'jpg' if name == 'gallery' else 'png'}")
        real = gallery_figure(results, REAL, setup)
        if real is not None:
            _save(real, setup.output / "gallery_real.jpg")
    return drawn


def gap_closed_figure(results: Results) -> Figure | None:
    """Draw the share of the gap that each recipe closes, one row per target; None if there is no gap."""
    recipes = [recipe for recipe in results.recipes if recipe not in (SOURCE, SUPERVISED)]
    targets = [target for target in results.targets if any(results.gap(target, r) is not None for r in recipes)]
    if not targets:
        return None
    step = 0.84 / max(len(recipes), 2)
    figure, axes = plt.subplots(figsize=(9, 1.4 + (0.15 + 0.09 * len(recipes)) * len(targets)), layout="constrained")
    peers = [recipe for recipe in recipes if recipe not in COLOURS]
    for row, target in enumerate(targets):
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color="#f2f5f6", zorder=0)
        for k, recipe in enumerate(recipes):
            gap = results.gap(target, recipe)
            if gap is None:
                continue
            y = row + (k - (len(recipes) - 1) / 2) * step
            colour = COLOURS.get(recipe, PALE)
            x = min(max(100 * gap, LOWEST), HIGHEST)
            axes.plot([0, x], [y, y], color=colour, alpha=0.35, linewidth=1.5, zorder=1)
            axes.plot(x, y, _marker(recipe, peers), color=colour, markersize=7 if recipe in COLOURS else 5.5, zorder=3)
            if x != 100 * gap:
                side, shift = ("right", -6) if x > 0 else ("left", 6)
                axes.annotate(
                    f"{100 * gap:.0f} %", (x, y), (shift, 0), textcoords="offset points",
                    ha=side, va="center", fontsize=8.5, color=colour,
                    bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}, zorder=4,
                )  # fmt: skip
    axes.axvline(0, color="#20262a", linewidth=1)
    axes.axvline(100, color="#20262a", linewidth=1, linestyle=(0, (4, 3)))
    for x, text in ((0, "not adapted"), (100, "trained with labels")):
        axes.annotate(text, (x, 1), (0, 4), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(targets)), [target.replace("_", " ") for target in targets])
    axes.set_ylim(len(targets) - 0.5, -0.5)
    axes.set_xlim(LOWEST - 5, HIGHEST + 5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share of the gap closed, %")
    handles = [
        Line2D([], [], color=COLOURS.get(recipe, PALE), marker=_marker(recipe, peers), linestyle="", label=recipe)
        for recipe in recipes
    ]
    figure.legend(
        handles=handles, loc="outside lower center", frameon=False, ncols=8, columnspacing=1.2, handletextpad=0.2
    )
    return figure


def _marker(recipe: str, peers: Sequence[str]) -> str:
    return "o" if recipe in COLOURS else MARKERS[peers.index(recipe) % len(MARKERS)]


def reliability_figure(results: Results) -> Figure | None:
    """Draw expected Dice against true Dice of the worse structure, one point per photograph; None without reports."""
    pairs = _expectations(results)
    if not len(pairs):
        return None
    low = np.floor(20 * np.quantile(pairs, 0.01)) / 20
    figure, axes = plt.subplots(figsize=(5.2, 5), layout="constrained")
    axes.plot([low, 1], [low, 1], color="#20262a", linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(*pairs.clip(low).T, ".", color=SOURCE_COLOUR, alpha=0.35, markersize=7, markeredgewidth=0)
    ordered = pairs[pairs[:, 0].argsort()]
    bins = np.array([part.mean(axis=0) for part in np.array_split(ordered, BINS) if len(part)])
    axes.plot(*bins.clip(low).T, "o-", color=SOURCE_COLOUR, markersize=7, linewidth=2, markeredgecolor="white")
    axes.set(xlim=(low, 1), ylim=(low, 1), aspect="equal", xlabel="1 - uncertainty, as inference reports it")
    axes.set_title(f"{SOURCE}: {len(pairs)} photographs", loc="left", fontsize=12)
    axes.grid(color="#e3e8ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylabel("true Dice, the lower of disc and cup")
    marks: dict[str, dict[str, Any]] = {
        "a photograph": {"marker": ".", "linestyle": "", "alpha": 0.5, "markersize": 9},
        "mean of an eighth of them": {"marker": "o", "linestyle": "-"},
        "as expected": {"linestyle": (0, (4, 3))},
    }
    handles = [Line2D([], [], color="#20262a", label=label, **mark) for label, mark in marks.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=1, frameon=False)
    return figure


def _expectations(results: Results) -> np.ndarray:
    """Expected Dice (1 - uncertainty) and true Dice of the worse structure, N x 2, of all photographs with a report."""
    pairs = [
        (1 - run.uncertainty[name], worst)
        for target in results.targets
        for run in results.of(target, SOURCE)
        for name, worst in run.worst.items()
        if name in run.uncertainty
    ]
    return np.array(pairs).reshape(-1, 2)


def gallery_figure(results: Results, target: str, setup: Setup) -> Figure | None:
    """Draw photographs with contours of the label, and of the model before and after adapting; None without masks.

    The photographs are not picked by hand: sorted by their gain in Dice, they are taken at even steps.
    """
    before, after = (
        next((run for run in results.of(target, recipe) if (run.folder / "inference" / "masks").is_dir()), None)
        for recipe in (SOURCE, PLUS)
    )
    if before is None or after is None:
        return None
    items = {item["name"]: item for item in list_photographs(setup.scored_set(target), labels="required")}
    ranked = sorted(before.dice, key=lambda name: before.dice[name] - after.dice[name])
    chosen = [ranked[k] for k in np.unique(np.linspace(0, len(ranked) - 1, ROWS).round().astype(int))]
    columns = ("photograph", "the expert's contours" if target == REAL else "true contours", "before", "after adapting")
    figure, panels = plt.subplots(len(chosen), 4, figsize=(11, 2.95 * len(chosen) + 0.7), squeeze=False)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.04)
    for row, name in zip(panels, chosen, strict=True):
        photograph = np.asarray(Image.open(items[name]["image"]).convert("RGB"))
        _show(
            row[0], Image.fromarray(photograph), f"{100 * (after.dice[name] - before.dice[name]):+.1f} points of Dice"
        )
        _show(row[1], draw_overlay(photograph, np.asarray(Image.open(items[name]["label"])), width_share=0.009), "")
        for axes, run in zip(row[2:], (before, after), strict=True):
            _show(axes, draw_overlay(photograph, _mask(run, name), width_share=0.009), _dice_of(run, name))
    for axes, title in zip(panels[0], columns, strict=True):
        axes.set_title(title, fontsize=13, fontweight="bold", pad=8)
    figure.legend(
        handles=[
            Line2D([], [], color=_hex(DISC_COLOUR), linewidth=2.5, label="optic disc"),
            Line2D([], [], color=_hex(CUP_COLOUR), linewidth=2.5, linestyle=(0, (2.2, 1.2)), label="optic cup"),
        ],
        loc="outside lower center",
        ncols=2,
        facecolor="#0a1620",
        labelcolor="white",
        framealpha=1,
    )
    return figure


def _mask(run: Result, name: str) -> np.ndarray:
    return np.asarray(Image.open(run.folder / "inference" / "masks" / f"{name}.png"))


def _dice_of(run: Result, name: str) -> str:
    """Dice of disc and cup of one photograph, in words."""
    with (run.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["image"] == name)
    disc, cup = (f"{100 * float(row[f'optic_{kind}_dice'] or 'nan'):.0f} %" for kind in ("disc", "cup"))
    return f"Dice: disc {disc}, cup {cup}"


def _show(axes: Axes, picture: Image.Image, caption: str) -> None:
    axes.imshow(picture.resize((512, 512), Image.Resampling.LANCZOS), interpolation="lanczos")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(caption, fontsize=11, labelpad=4)


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _save(figure: Figure, path: Path) -> Path:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
    return path
