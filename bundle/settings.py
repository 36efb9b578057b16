"""The settings of the stages: the meaning of each key, its kind and its allowed values, and the check of a call.

A setting is a key at the top of a stage's config that holds a plain value. The config holds its default; everything
else about it is in ``SETTINGS``, against which calls are checked and from which ``docs/reference/keys.md`` is made.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from monai.bundle import ConfigParser
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from bundle.errors import CallError

__all__ = ["SETTINGS", "Setting", "check_overrides", "first_part", "known_keys", "nearest"]

Kind = Literal["path", "text", "whole number", "number", "yes or no", "device"]


_WORDS = {"yes or no": "True or False", "text": "text", "device": "a device of this machine, such as cpu or cuda:0"}


@dataclass(frozen=True)
class Setting:
    """The meaning of one key and the values that it may have.

    Args:
        description: what it does, in a sentence.
        kind: of value. A path and a text may be anything that the stage understands.
        least: the value is at least this.
        most: the value is at most this.
        above: the value is more than this.
        below: the value is less than this.
        choices: all allowed values; empty for any.
        optional: whether null is allowed.
        unit: of the value, in words.
        divisor: the value must be a multiple of it.

    Example:
        >>> side = Setting("Side of the view.", "whole number", 32, 4096, divisor=32)
        >>> side.admits(256), side.admits(250)
        (True, False)
        >>> side.allowed()
        'a whole number of at least 32 and of at most 4096, a multiple of 32'
    """

    description: str
    kind: Kind
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    unit: str = ""
    divisor: int = 1

    def allowed(self) -> str:
        """The allowed values, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = _WORDS.get(self.kind, f"a {self.kind}")
        limits = {"of at least": self.least, "above": self.above, "of at most": self.most, "below": self.below}
        given = [f"{word} {limit}" for word, limit in limits.items() if limit is not None]
        words += " " * bool(given) + " and ".join(given)
        if self.divisor > 1:
            words += f", a multiple of {self.divisor}"
        return words + (", or null" if self.optional else "")

    def read(self, text: str) -> Any:
        """The value that a command line's text stands for; the text itself where it stands for none, to be refused.

        Example:
            >>> Setting("", "yes or no").read("false"), Setting("", "number").read("0.1"), Setting("", "path").read("7")
            (False, 0.1, '7')
        """
        if self.optional and text.lower() in ("none", "null"):
            return None
        if self.kind == "yes or no":
            return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower(), text)
        if self.kind in ("whole number", "number"):
            for kind in (int, float):
                try:
                    return kind(text)
                except ValueError:
                    continue
        return text

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is allowed. An expression or a reference of MONAI's config language always is."""
        if isinstance(value, str) and value.startswith(("$", "@", "%")):
            return True
        if value is None:
            return self.optional
        if self.choices:
            return value in self.choices
        if self.kind == "path":
            return isinstance(value, str | os.PathLike) and (self.optional or bool(os.fspath(value)))
        if self.kind == "text":
            # A device may be an object of PyTorch's.
            return not isinstance(value, bool | int | float | list | tuple | dict) and bool(str(value))
        if self.kind == "yes or no":
            return isinstance(value, bool)
        if self.kind == "device":
            return _is_here(value)
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "whole number" else int | float):
            return False
        return math.isfinite(value) and (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.divisor == 1 or value % self.divisor == 0)
        )


def _is_here(device: Any) -> bool:
    """Whether PyTorch can use a device, given by its name or as an object, on this machine."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError):
        return False
    return str(device) != "meta"


VIEWS = ("auto", "crop", "photograph")
SETTINGS: dict[str, Setting] = {
    "bundle_root": Setting("Folder of the bundle, which holds `configs` and `models`.", "path"),
    "checkpoint": Setting("Weights to start from: a `model.pt` of training or adaptation.", "path", optional=True),
    "dataset_dir": Setting("Folder of photographs; only its subfolder `image` if it has one.", "path", optional=True),
    "output_dir": Setting("Folder that receives the results.", "path"),
    "model_file": Setting("File that receives the trained weights.", "path"),
    "label_format": Setting("How labels are stored.", "text", choices=("index", "refuge", "pair")),
    "view": Setting("The network sees all (`crop`), the disc (`photograph`) or what fits.", "text", choices=VIEWS),
    "disc_share": Setting("Share of the view's side that a located disc fills.", "number", above=0, below=1),
    "validation_fraction": Setting("Share of the photographs that is held out.", "number", above=0, below=1),
    "image_size": Setting("Side of the view.", "whole number", 32, 4096, unit="pixels", divisor=32),
    "batch_size": Setting("Photographs per batch, of all processes together.", "whole number", 1),
    "max_epochs": Setting("Epochs of training.", "whole number", 1),
    "epoch_size": Setting("Photographs drawn in an epoch, of all sources together.", "whole number", 1),
    "leave_out": Setting("Sources to leave out, by the start of their folders' names.", "text", optional=True),
    "teacher_confidence": Setting("Probability from which on the mean teacher's class is a label.", "number", 0, 1),
    "warmup_epochs": Setting("Epochs over which the learning rate rises to its highest value.", "number", 0),
    "val_interval": Setting("Epochs between two validations.", "whole number", 1),
    "learning_rate": Setting("Highest learning rate of AdamW.", "number", 0),
    "weight_decay": Setting("Weight decay of AdamW.", "number", 0),
    "dropout": Setting("Probability of dropping a channel in front of the head.", "number", 0, below=1),
    "pretrained": Setting("Start the encoder from its ImageNet weights.", "yes or no"),
    "seed": Setting("Seed of all random numbers.", "whole number", 0, 2**32 - 1),
    "quiet": Setting("Turn off the progress bar and TensorBoard events.", "yes or no"),
    "num_workers": Setting("Processes that read photographs; 0 reads them in the main process.", "whole number", 0),
    "resume": Setting("Keep `resume.pt` while training, and continue from it.", "yes or no"),
    "measured_photographs": Setting(
        "Largest number of photographs measured before and after, spread over the folder; null for all.",
        "whole number", 1, optional=True,
    ),
    "track_photographs": Setting("Number of photographs shown in TensorBoard; 0 for none.", "whole number", 0),
    "track_interval": Setting("Epochs between two updates of these pictures.", "whole number", 1),
    "device": Setting("Device that the network runs on.", "device"),
    "cache_num": Setting("Number of photographs whose view is kept in memory.", "whole number", 0),
    "recipe": Setting("Name of the adaptation recipe, a key of `recipes`.", "text"),
    "few_labels": Setting("Folder of corrected photographs (`image`, `label`).", "path", optional=True),
    "reader": Setting("Reader whose corrected labels count, a folder in `label`.", "text", optional=True),
    "statistics": Setting("Share of the target in the norm layers' statistics.", "number", 0, 1),
    "passes": Setting("Stochastic passes per photograph, with random dropout.", "whole number", 2),
    "label_threshold": Setting("Probability above which a pixel is labelled.", "number", above=0, below=1),
    "uncertainty_threshold": Setting("Uncertainty below which a pixel is trusted.", "number", 0),
    "uncertainty": Setting("Measured on the probability, or the heat map too.", "text", choices=("prob", "prob+cam")),
    "source_cup_share": Setting("Share of the disc that is cup in the source's labels.", "number", above=0, below=1),
    "least_cup_shift": Setting("Shift of the cup's log-odds that a camera alone causes.", "number", 0, unit="nats"),
    "loss_limit": Setting("Loss above which training counts as diverged.", "number", 0),
    "collapse": Setting("Share of its former area below which a structure counts as lost.", "number", 0, 1),
    "least_disc": Setting("Smallest mean share of the view that the source's disc must take.", "number", 0, 1),
    "max_uncertainty": Setting("Uncertainty of the cup above which a photograph is marked `review`.", "number", 0, 1),
    "max_disc_uncertainty": Setting("Uncertainty of the disc above which it is marked `review`.", "number", 0, 1),
    "uncertainty_scale": Setting("The model's uncertainty is divided by this value.", "number", most=1, above=0),
    "min_confidence": Setting("Confidence of the search below which a photograph is marked `review`.", "number", 0, 1),
    "min_sharpness": Setting("Sharpness below which a photograph is marked `review`; 0 turns it off.", "number", 0),
    "max_distance": Setting("Distance to the training data above which a photograph is marked `review`.", "number", 0),
    "interval_coverage": Setting("Probability that a reader's vCDR lies in its interval.", "number", above=0, below=1),
    "guess_eye": Setting("Guess which eye it is where the file does not say.", "yes or no"),
    "rim_sector": Setting("Angle over which a rim's width is averaged.", "number", most=90, above=0, unit="degrees"),
    "mask_format": Setting("Format of the masks.", "text", choices=("png", "nifti", "dicom_seg", "dicom_labelmap")),
    "report_format": Setting("`dicom_sr` adds structured reports to the page.", "text", choices=("html", "dicom_sr")),
    "keep_study": Setting("File DICOM results in the photograph's study, with its patient's name.", "yes or no"),
}  # fmt: skip


def known_keys(configs: Sequence[str | Path]) -> list[str]:
    """The keys at the top of config files that are merged, in their order.

    Example:
        >>> from bundle.stages import BUNDLE_ROOT
        >>> "recipe" in known_keys([BUNDLE_ROOT / "configs" / "adapt.json"])
        True
    """
    keys: dict[str, None] = {}
    for path in configs:
        keys |= {first_part(key.lstrip("+")): None for key in ConfigParser.load_config_file(path)}
    return list(keys)


def first_part(key: str) -> str:
    """The key at the top of a config below which a nested ``key`` lies.

    Example:
        >>> first_part("train#optimizer#lr"), first_part("train::optimizer"), first_part("seed")
        ('train', 'train', 'seed')
    """
    return key.replace("::", "#").split("#")[0]


def check_overrides(stage: str, overrides: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse keys that a stage does not have, and values that are not allowed.

    Args:
        stage: its name, for the message.
        overrides: values by key; of a nested key, written with ``#``, the first part must be known.
        known: the stage's keys.

    Raises:
        CallError: names the first such key, and the known key that is most similar to it.

    Example:
        >>> check_overrides("training", {"sed": 3}, ["seed", "view"])
        Traceback (most recent call last):
        ...
        bundle.errors.CallError: training has no key 'sed' (did you mean seed?). Its keys: docs/reference/keys.md.
    """
    known = list(known)
    if overrides.get("tracking"):
        known += ["tracking", *cast(dict[str, Any], DEFAULT_MLFLOW_SETTINGS["configs"])]
    for name, value in overrides.items():
        key = first_part(name)
        if key not in known:
            raise CallError(f"{stage} has no key {name!r}{nearest(key, known)}.", "Its keys: docs/reference/keys.md.")
        if name in SETTINGS and not SETTINGS[name].admits(value):
            raise CallError(f"{name} cannot be {value!r}.", f"Pass {SETTINGS[name].allowed()}.")
    _check_root(overrides.get("bundle_root"))


def _check_root(root: Any) -> None:
    """Refuse a ``bundle_root`` without models here: what is missing in it later would be called a wrong checkpoint."""
    if root is None or str(root).startswith("$"):
        return
    models = os.path.join(os.path.expanduser(root), "models")  # noqa: PTH111, PTH118
    if not os.path.isdir(models):  # noqa: PTH112
        remedy = "Pass --bundle_root with the folder that holds configs and models, or leave it out."
        raise CallError(f"bundle_root cannot be {str(root)!r}: there is no folder models in it.", remedy)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a message about an unknown ``name``: the known name most similar to it; empty if none is similar.

    Example:
        >>> nearest("chekpoint", ["checkpoint", "seed"])
        ' (did you mean checkpoint?)'
        >>> nearest("abc", ["checkpoint", "seed"])
        ''
    """
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""
