"""A ``Compose`` whose random numbers depend on the photograph alone."""

from __future__ import annotations

import hashlib
from typing import Any

from monai.transforms import Compose

from bundle.data.items import item_name

__all__ = ["SeededCompose"]


class SeededCompose(Compose):
    """``Compose`` that seeds its random transforms for each photograph, by its name and the seed that was set last.

    What is drawn for a photograph then depends neither on the process that reads it nor on what was read before. Data
    loaders with workers need ``worker_init_fn=None``, as MONAI's gives each worker a seed of its own.
    """

    # A seed is a state, as of other transforms: it does not settle what this one does (``bundle.io.provenance``).
    not_described = ("seed",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seed: int | None = None

    def set_random_state(self, seed: int | None = None, state: Any = None) -> SeededCompose:
        """Take the seed that the photographs' own are derived from, such as that of the epoch."""
        self.seed = seed
        super().set_random_state(seed, state)
        return self

    def __call__(  # type: ignore[override]
        self, input_: Any, start: int = 0, end: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        # With an end it is a cache that asks for what comes before the first random transform, from several threads.
        if end is None and self.seed is not None:
            digest = hashlib.sha256(f"{self.seed}:{item_name(input_)}".encode("utf-8", "surrogateescape")).digest()
            super().set_random_state(int.from_bytes(digest[:4], "big"))
        return super().__call__(input_, start, end, *args, **kwargs)
