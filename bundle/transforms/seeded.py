"""A ``Compose`` whose random numbers depend on the photograph alone."""

from __future__ import annotations

import hashlib
from typing import Any

from monai.transforms import Compose

from bundle.data.items import item_name

__all__ = ["SeededCompose"]


class SeededCompose(Compose):
    """``Compose`` that seeds its random transforms for each photograph, from its name and the seed that was set last.

    The random numbers for a photograph then depend neither on the process that reads it nor on what was read before.
    Create data loaders with workers with ``worker_init_fn=None``, because MONAI's default gives each worker a seed of
    its own.

    Example:
        >>> import torch
        >>> from monai.transforms import RandFlipd
        >>> transform = SeededCompose([RandFlipd("image", prob=0.5, spatial_axis=0)]).set_random_state(seed=0)
        >>> eye = {"name": "eye", "image": torch.arange(4.0)[None]}
        >>> first, again = (transform(eye)["image"].tolist() for _ in range(2))
        >>> first == again
        True
    """

    # The seed is state, as in other random transforms: it is no part of what identifies the transform
    # (``bundle.io.provenance``).
    not_described = ("seed",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seed: int | None = None

    def set_random_state(self, seed: int | None = None, state: Any = None) -> SeededCompose:
        """Set the seed, such as the epoch's, from which each photograph's own seed is derived."""
        self.seed = seed
        super().set_random_state(seed, state)
        return self

    def __call__(  # type: ignore[override]
        self, input_: Any, start: int = 0, end: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        # A call with an end comes from a caching dataset, from several threads: it runs the transforms before the first
        # random one, which need no seed.
        if end is None and self.seed is not None:
            digest = hashlib.sha256(f"{self.seed}:{item_name(input_)}".encode("utf-8", "surrogateescape")).digest()
            super().set_random_state(int.from_bytes(digest[:4], "big"))
        return super().__call__(input_, start, end, *args, **kwargs)
