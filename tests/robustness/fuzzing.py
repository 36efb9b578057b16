"""Mutations of sound files, for ``test_fuzz.py`` and ``tests/robustness/fuzz.py``: the seed decides all of them."""

from __future__ import annotations

import random

from tests.robustness.bad_input import SEEDS

ODD = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\0\0\0",
    b"\0\0\0\x80",
    b"\1\0",
)
"""Numbers at the ends of their ranges, in either order of bytes."""


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A file with one to eight changes; half of them fall into its first 512 bytes, where headers lie."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 5, 8))):
        if not changed:
            break
        end = len(changed) if draw.random() < 0.5 else min(512, len(changed))
        at = draw.randrange(end)
        kind = draw.choice(("flip", "byte", "number", "insert", "delete", "copy", "cut"))
        if kind == "flip":
            changed[at] ^= 1 << draw.randrange(8)
        elif kind == "byte":
            changed[at] = draw.randrange(256)
        elif kind == "number":
            number = draw.choice(ODD)
            changed[at : at + len(number)] = number
        elif kind == "insert":
            changed[at:at] = draw.randbytes(draw.choice((1, 2, 4, 64)))
        elif kind == "delete":
            del changed[at : at + draw.choice((1, 2, 4, 64))]
        elif kind == "copy":
            start = draw.randrange(len(changed))
            changed[at:at] = changed[start : start + draw.choice((4, 12, 64))]
        else:
            del changed[at:]
    return bytes(changed)


def mutant(seed: int) -> tuple[str, bytes]:
    """File name and content of one mutated file, the formats taking turns."""
    suffix = sorted(SEEDS)[seed % len(SEEDS)]
    return f"{seed:06d}.{suffix}", mutated(SEEDS[suffix](), random.Random(seed))
