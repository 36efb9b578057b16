"""Pseudo-labels on disk, which an interrupted run can continue at any photograph."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch

from bundle.distributed.collect import collect_dealt, from_first
from bundle.io.files import atomic_write, safe_output_path, save_atomically
from bundle.refinement.prototypes import Prototypes, PrototypeSums

__all__ = ["PseudoLabelStore"]


class PseudoLabelStore:
    """Pseudo-labels on disk, one file per photograph, so that an interrupted run can continue.

    Until the prototypes are known, the results of each photograph are kept in ``.refinement/`` (about 6 MB per
    photograph at 256 x 256 with 24 channels); ``finish`` removes this folder. Files with another fingerprint are
    discarded.

    Args:
        output_dir: receives ``pseudo_labels/<name>.npz``, ``prototypes.pt`` and ``refinement.csv``. Each ``.npz`` holds
            ``label`` and ``mask`` (the trusted pixels; 2 x H x W booleans, disc and cup), ``probability`` and
            ``uncertainty`` (2 x H x W, half precision), ``reliable`` (share of the pixels) and ``agreement`` (2 each).
        fingerprint: text that identifies everything on which the pseudo-labels depend.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = PseudoLabelStore(folder, fingerprint="of this run")
        ...     store.pending([{"name": "left"}, {"name": "right"}])
        ...     store.add("left", label=np.zeros((2, 4, 4), dtype=bool))
        ...     store.pending([{"name": "left"}, {"name": "right"}])
        [0, 1]
        [1]
    """

    def __init__(self, output_dir: str | Path, fingerprint: str) -> None:
        self.root = Path(output_dir)
        self.fingerprint = fingerprint
        self.final = self.root / "pseudo_labels"
        self.partial = self.root / ".refinement"
        self._mark = self.root / ".refinement" / "fingerprint"

    def _prepare(self) -> None:
        known = self._mark.read_text() if self._mark.is_file() else self._finished_fingerprint()
        if known != self.fingerprint:
            for folder in (self.final, self.partial):
                shutil.rmtree(folder, ignore_errors=True)
            (self.root / "prototypes.pt").unlink(missing_ok=True)
        for folder in (self.final, self.partial):
            safe_output_path(self.root, folder.name, "any").parent.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(".*.npz"):
                leftover.unlink()
        with atomic_write(self._mark) as path:
            path.write_text(self.fingerprint)

    def _finished_fingerprint(self) -> str | None:
        path = self.root / "prototypes.pt"
        return torch.load(path, weights_only=True).get("fingerprint") if path.is_file() else None

    def pending(self, items: Sequence[dict[str, Any]], batch_size: int = 1) -> list[int]:
        """Indices of the items that still have to be processed: all of every batch that is not complete.

        A convolution may round differently when the same photograph is in another batch. An incomplete batch is
        therefore processed again as a whole, so that a resumed run gives bit for bit what an uninterrupted one gives.

        Args:
            items: all items, each with ``name``, in the order in which they are divided into batches.
            batch_size: photographs per batch.
        """
        if idist.get_rank() == 0:
            self._prepare()
        return from_first(self._cut_off(items, batch_size) if idist.get_rank() == 0 else None)

    def _cut_off(self, items: Sequence[dict[str, Any]], batch_size: int) -> list[int]:
        done = {path.name for folder in (self.final, self.partial) for path in _files(folder)}
        cut_off = {i // batch_size for i, item in enumerate(items) if f"{item['name']}.npz" not in done}
        return [i for i in range(len(items)) if i // batch_size in cut_off]

    def add(self, name: str, **arrays: np.ndarray) -> None:
        """Keep the results of one photograph until the prototypes are known.

        Args:
            name: the photograph's name.
            arrays: ``label``, ``reliable``, ``probability``, ``uncertainty`` (2 x W x H), ``features`` (2 x K x W x H),
                ``sums`` and ``weights`` (see ``PrototypeSums``), and ``agreement`` (2).
        """
        with atomic_write(self.partial / f"{name}.npz") as path:
            np.savez(path, **arrays)  # type: ignore[arg-type]

    def finish(self) -> Prototypes:
        """Estimate the prototypes over all photographs, then write every pseudo-label and the summary.

        Sums are added in the order of the names, so that neither the order of the files nor the number of processes
        changes the result. With several processes, each finishes its share of the photographs.

        Returns:
            The prototypes.
        """
        path = self.root / "prototypes.pt"
        idist.barrier()
        # One process lists the files for all, because a faster process might change them before a slower one looks.
        waiting, known = from_first((_files(self.partial), path.is_file()))
        own = waiting[idist.get_rank() :: idist.get_world_size()]
        if known:
            stored = torch.load(path, weights_only=True)
            prototypes = Prototypes(stored["objects"], stored["background"])
        else:
            prototypes = sum(collect_dealt([_sums_of(part) for part in own]), PrototypeSums()).prototypes()
            if idist.get_rank() == 0:
                content = {"objects": prototypes.objects, "background": prototypes.background}
                save_atomically({**content, "fingerprint": self.fingerprint}, path)
            # A resumed run relies on the prototypes being on disk whenever a pseudo-label is.
            idist.barrier()
        for part in own:
            self._finish_one(part, prototypes)
        idist.barrier()
        if idist.get_rank() == 0:
            self._write_summary()
            shutil.rmtree(self.partial, ignore_errors=True)
        idist.barrier()
        return prototypes

    def _finish_one(self, part: Path, prototypes: Prototypes) -> None:
        with np.load(part) as arrays:
            label, reliable = arrays["label"], arrays["reliable"]
            nearer = prototypes.nearer_to_object(torch.from_numpy(arrays["features"]).float()).numpy()
            content = {
                "label": label,
                "mask": reliable & (label == nearer),
                "probability": arrays["probability"],
                "uncertainty": arrays["uncertainty"],
            }
            extra = {"reliable": reliable.mean(axis=(1, 2)), "agreement": arrays["agreement"]}
        with atomic_write(self.final / part.name) as path:
            # Files that users read are H x W; tensors are indexed x first.
            images = {key: np.ascontiguousarray(value.swapaxes(1, 2)) for key, value in content.items()}
            np.savez(path, **images, **extra)  # type: ignore[arg-type]
        part.unlink()

    def _write_summary(self) -> None:
        columns = ["image"] + [
            f"{quantity}_{name}"
            for quantity in ("area_share", "reliable_share", "mask_share", "agreement")
            for name in ("disc", "cup")
        ]
        with atomic_write(self.root / "refinement.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for done in _files(self.final):
                with np.load(done) as arrays:
                    shares = (arrays["label"].mean(axis=(1, 2)), arrays["reliable"], arrays["mask"].mean(axis=(1, 2)))
                    values = [*np.concatenate(shares), *arrays["agreement"]]
                writer.writerow([done.name.removesuffix(".npz"), *(f"{value:.4f}" for value in values)])

    def labelled(self, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The items that have a pseudo-label, each with its file as ``pseudo_label``."""
        files = {item["name"]: self.final / f"{item['name']}.npz" for item in items}
        return [{**item, "pseudo_label": str(files[item["name"]])} for item in items if files[item["name"]].is_file()]


def _sums_of(part: Path) -> PrototypeSums:
    with np.load(part) as arrays:
        return PrototypeSums(torch.from_numpy(arrays["sums"]), torch.from_numpy(arrays["weights"]))


def _files(folder: Path) -> list[Path]:
    # Hidden files are temporary ones that a killed process left behind.
    return sorted(folder.glob("[!.]*.npz"))
