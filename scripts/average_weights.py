"""Average the weights of models of one architecture, of which each was trained on from the one before.

    python scripts/average_weights.py FIRST/model.pt SECOND/model.pt --output models/model.pt

The mean of such models is often steadier on photographs unlike the training ones than any of them (Wortsman et al.,
"Model soups", ICML 2022).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from bundle.io.files import save_atomically


def main() -> None:
    """Write the mean; counters, which cannot be averaged, come from the last model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    states = [torch.load(path, map_location="cpu", weights_only=True) for path in args.models]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in states[-1].items()
    }
    save_atomically(mean, args.output)


if __name__ == "__main__":
    main()
