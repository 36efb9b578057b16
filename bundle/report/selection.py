"""Which photographs to correct first: ``selection.csv`` and the line about it on the page."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.results import Segmentation

__all__ = ["chosen_to_correct"]


def chosen_to_correct(results: Sequence[Segmentation], most: int = 5) -> list[Segmentation]:
    """Choose photographs whose cups go from small to large, for a reader to correct.

    The photographs with a cup, sorted by their vertical ratio, are divided into ``most`` groups of equal size, and of
    each group the one with the smallest uncertainty is taken: its contours need the least work. The first to correct is
    the middle group's, then those with the widest and narrowest cups, so that a reader who stops early has still shown
    most.

    Args:
        results: of all photographs.
        most: largest number of photographs.

    Returns:
        The chosen ones, in the order in which to correct them; all with a cup if there are no more than ``most``.

    Example:
        >>> from bundle.morphometry.cup_disc import Measurements
        >>> eyes = [Segmentation(str(i), "ok", measurements=Measurements(vcdr=i / 10)) for i in range(1, 10)]
        >>> [eye.image for eye in chosen_to_correct(eyes, 3)]
        ['4', '7', '1']
    """
    known = sorted((each for each in results if each.measurements.vcdr > 0), key=lambda each: each.measurements.vcdr)
    count = min(most, len(known))
    groups = [known[len(known) * i // count : len(known) * (i + 1) // count] for i in range(count)]
    best = [min(group, key=lambda each: (each.uncertainty, each.image)) for group in groups]
    middle = (count - 1) / 2
    # The middle, the ends, then what lies between; of two as far from the middle, the wider cup first.
    order = sorted(range(count), key=lambda i: (i != round(middle), -abs(i - middle), -i))
    return [best[i] for i in order]
