"""Pictures of the architecture: rooms (subpackages) on floors, computed from their imports, and walks through them."""

# Markup has its own quotes.
# flake8: noqa: B907

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

__all__ = ["WALKS", "floors", "imports_of_rooms", "rooms_picture", "walk_picture"]

GROUND = ("errors", "_version", "settings", "command_line")
"""Single files that nearly every room uses; they are not drawn."""
WALKS: Mapping[str, Sequence[tuple[str, str]]] = {
    "photograph": (
        ("a folder", "data/listing.py\nlist_photographs"),
        ("pixels and meta data", "data/photograph_reader.py\nPhotographReader"),
        ("where the disc is", "locator/search.py\nDiscLocator"),
        ("the square view of it", "transforms/disc_view.py\nDiscViewd"),
        ("logits", "networks/unet.py\nDiscCupUNet"),
        ("how sure it is", "uncertainty/evaluator.py\nAgreementEvaluator"),
        ("a label map, put back", "transforms/label_maps.py\nlabel_map, CleanLabeld"),
        ("measured and judged", "report/assessment.py\nAssessor -> Segmentation"),
        ("mask, overlay, record", "report/writer.py\nResultWriter"),
        ("tables and page", "report/report.py\nReport"),
    ),
    "pseudo_label": (
        ("stochastic passes", "uncertainty/dropout_passes.py\nstochastic_logits"),
        ("class features", "refinement/class_features.py\nGradientFeatures"),
        ("label, uncertainty", "refinement/labeller.py\nPseudoLabeller"),
        ("sums of one photograph", "refinement/evaluator.py\nRefinementEvaluator"),
        ("prototypes of the target", "refinement/prototypes.py\nPrototypeSums, Prototypes"),
        ("mask: trusted pixels", "refinement/pseudo_labels.py\nPseudoLabelStore"),
        ("read for training", "transforms/pseudo_labels.py\nLoadPseudoLabeld"),
        ("masked cross-entropy", "losses/pseudo_label.py\nPseudoLabelLoss"),
    ),
    "recipe": (
        ("--recipe plus", "configs/adapt.json\nrecipes, recipe_defaults"),
        ("one typed recipe", "adaptation/recipes.py\nchoose_recipe -> Recipe"),
        ("statistics of the target", "adaptation/norm_statistics.py\nreestimate_statistics"),
        ("its share of cup", "adaptation/label_shift.py\ncup_prior_shift"),
        ("teacher", "adaptation/recipes.py\nRecipe.mean_teacher"),
        ("losses by their weights", "losses/base.py\nAdaptationLoss"),
        ("student and teacher", "adaptation/inferer.py\nAdaptationInferer"),
        ("weights that are kept", "adaptation/result.py\nAdaptationResult"),
    ),
}
"""For each walk its steps: what there is after the step, and the file and function that produce it."""
_STYLE = """<style>
text { font-family: system-ui, sans-serif; font-size: 13px; fill: #16323a; }
.name { font-weight: 600; font-size: 14px; } .file { font-family: ui-monospace, monospace; font-size: 11px; }
.ground { fill: #fbfdfd; } .box { fill: #e4f1f1; stroke: #2b7a78; } .arrow { stroke: #2b7a78; fill: none; }
.head { fill: #2b7a78; } .thin { stroke-opacity: .35; }
@media (prefers-color-scheme: dark) { text { fill: #e6f2f2; } .ground { fill: #14242a; }
.box { fill: #1f3b40; stroke: #5fb3b0; }
.arrow { stroke: #5fb3b0; } .head { fill: #5fb3b0; } }
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>"""


def imports_of_rooms(package: Path) -> dict[str, set[str]]:
    """Read from the source which rooms each room of a package imports.

    Args:
        package: folder of the package; its folders and top-level files are the rooms.

    Returns:
        For each room the rooms that it imports.

    Example:
        >>> imports = imports_of_rooms(Path(__file__).parents[1])
        >>> "networks" in imports["losses"], "losses" in imports["networks"]
        (True, False)
    """
    found: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room in ("__init__", *GROUND):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.module.split(".") for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        used = {name[1] for name in names if name[0] == package.name and len(name) > 1}
        found.setdefault(room, set()).update(used - {room, *GROUND})
    return found


def floors(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Sort rooms into floors, from the ground up: a room is above all rooms that it imports.

    Raises:
        ValueError: rooms import each other in a circle.

    Example:
        >>> floors({"roof": {"wall"}, "wall": set(), "door": set()})
        [['door', 'wall'], ['roof']]
    """
    left, result = dict(imports), []
    done: set[str] = set()
    while left:
        floor = sorted(room for room, used in left.items() if used <= done)
        if not floor:
            raise ValueError(f"rooms import each other in a circle: {sorted(left)}.")
        result.append(floor)
        done |= set(floor)
        left = {room: used for room, used in left.items() if room not in done}
    return result


def rooms_picture(package: Path, width: int = 1000) -> str:
    """Draw the rooms as boxes on their floors, with an arrow to each room that they import.

    An arrow is omitted if a chain of others implies it.

    Args:
        package: folder of the package.
        width: of the picture in pixels.

    Returns:
        The picture as SVG.

    Example:
        >>> rooms_picture(Path(__file__).parents[1]).startswith("<svg")
        True
    """
    imports = imports_of_rooms(package)
    rows = floors(imports)[::-1]
    step, box = 92, 46
    place: dict[str, tuple[float, float, float]] = {}
    for row, names in enumerate(rows):
        wide = min(170.0, (width - 40) / len(names) - 16)
        for column, name in enumerate(names):
            middle = 20 + (width - 40) * (column + 0.5) / len(names)
            place[name] = middle, 24.0 + row * step, wide
    lines, boxes = [], []
    for room, used in imports.items():
        # An arrow that a chain of others implies would only hide them.
        implied = {far for near in used for far in _reached(imports, near)}
        for other in sorted(used - implied):
            (x, y, _), (to_x, to_y, _) = place[room], place[other]
            bend = (to_y - y - box) / 2
            path = f"M{x:.0f} {y + box:.0f} C{x:.0f} {y + box + bend:.0f} "
            path += f"{to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"
            lines.append(f'<path class="arrow thin" marker-end="url(#head)" d="{path}"/>')
    for name, (x, y, wide) in place.items():
        boxes.append(f'<rect class="box" x="{x - wide / 2:.0f}" y="{y:.0f}" width="{wide:.0f}" height="{box}" rx="7"/>')
        boxes.append(f'<text class="name" x="{x:.0f}" y="{y + 28:.0f}" text-anchor="middle">{escape(name)}</text>')
    return _svg(width, 24 + len(rows) * step, [*lines, *boxes])


def _reached(imports: Mapping[str, set[str]], room: str) -> set[str]:
    near = imports.get(room, set())
    return near | {far for other in near for far in _reached(imports, other)}


def walk_picture(steps: Sequence[tuple[str, str]], width: int = 1000, columns: int = 4) -> str:
    """Draw steps as a chain of boxes that turns at the end of each row.

    Args:
        steps: for each step what there is after it, and the file and function that produce it, on separate lines.
        width: of the picture in pixels.
        columns: boxes per row.

    Returns:
        The picture as SVG.

    Example:
        >>> walk_picture(WALKS["recipe"]).count('class="box"') == len(WALKS["recipe"])
        True
    """
    cell, wide, high, step = width / columns, width / columns - 30, 74, 108
    parts: list[str] = []
    for index, (title, where) in enumerate(steps):
        row, column = divmod(index, columns)
        column = column if row % 2 == 0 else columns - 1 - column
        x, y = column * cell + 15, row * step + 16
        if index + 1 < len(steps):
            forward = cell - wide if row % 2 == 0 else wide - cell
            turn = (index + 1) % columns == 0
            start = (x + wide / 2, y + high) if turn else (x + (wide if row % 2 == 0 else 0), y + high / 2)
            end = (start[0], start[1] + step - high) if turn else (start[0] + forward, start[1])
            path = f"M{start[0]:.0f} {start[1]:.0f} L{end[0]:.0f} {end[1]:.0f}"
            parts.append(f'<path class="arrow" marker-end="url(#head)" d="{path}"/>')
        parts.append(f'<rect class="box" x="{x:.0f}" y="{y:.0f}" width="{wide:.0f}" height="{high}" rx="7"/>')
        texts = [("name", title), *(("file", line) for line in where.split("\n"))]
        for line, (kind, text) in enumerate(texts):
            parts.append(f'<text class="{kind}" x="{x + 12:.0f}" y="{y + 25 + 19 * line:.0f}">{escape(text)}</text>')
    return _svg(width, -(-len(steps) // columns) * step, parts)


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    ground = f'<rect class="ground" width="{width}" height="{height}" rx="10"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, _STYLE, ground, *parts, "</svg>", ""])
