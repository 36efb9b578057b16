"""Average the weights of models of one architecture, of which each was trained on from the one before.

python scripts/average_weights.py FIRST/model.pt SECOND/model.pt --output models/model.pt
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from bundle.io.files import save_atomically
from bundle.networks.averaging import average_weights
from bundle.networks.notes import notes_of, with_notes


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the mean, with what all of the files say of themselves if they say the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    call = parser.parse_args(arguments)
    states = [torch.load(path, map_location="cpu", weights_only=True) for path in call.models]
    mean, (notes, *others) = average_weights(states), [notes_of(path) for path in call.models]
    agreed = bool(notes) and all(other == notes for other in others)
    save_atomically(with_notes(mean, notes) if agreed else mean, call.output)


if __name__ == "__main__":
    main()
