"""Which photographs of the source are held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from bundle.data.names import text_digest, with_names
from bundle.errors import CallError

__all__ = ["split_source"]


def split_source(
    items: Iterable[Mapping[str, Any]], fraction: float, seed: int, prefix_length: int = 1
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Holds out a share of the items for validation, in each stratum of names that begin alike.

    Which ones depends on the seed and the names alone, not on the order of the items.

    Args:
        items: dicts with a unique ``name`` each, at least two; those without one are named after ``image``.
        fraction: the share to hold out, between 0 and 1; a stratum of two or more gives at least one item and keeps
            at least one.
        seed: chooses among the possible splits.
        prefix_length: how many letters of the name make the stratum (REFUGE: ``g`` glaucoma, ``n`` normal).

    Returns:
        the items for training and those for validation, each in the order of their names and never empty.

    Raises:
        CallError: the fraction is out of range, or there are fewer than two items.
    """
    if not 0 < fraction < 1:
        raise CallError(f"a validation fraction of {fraction} is not possible.", "Pass a number between 0 and 1.")
    ordered = sorted(with_names(items), key=lambda item: str(item["name"]))
    if len(ordered) < 2:
        raise CallError("one photograph cannot be split into training and validation.", "Add photographs.")
    strata: dict[str, list[str]] = defaultdict(list)
    for item in ordered:
        strata[str(item["name"])[:prefix_length]].append(str(item["name"]))
    if all(len(names) == 1 for names in strata.values()):
        strata = {"": [name for names in strata.values() for name in names]}
    held_out: set[str] = set()
    for names in strata.values():
        count = min(max(round(fraction * len(names)), 1), len(names) - 1)
        # A hash ranks a name alike whatever else is there and whichever version of a library draws.
        held_out.update(sorted(names, key=lambda name: text_digest(f"{seed}:{name}"))[:count])
    training = [item for item in ordered if str(item["name"]) not in held_out]
    return training, [item for item in ordered if str(item["name"]) in held_out]
