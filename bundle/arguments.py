"""The arguments of a command line, taken as the shell passed them.

MONAI's command line is Fire, which reads values as Python does: ``scan #2`` becomes ``scan``, ``a,b`` a tuple and
``false`` a text. Here a folder's name stays a name, and the declared kind of a setting says how its value is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fire import parser as fire_parser
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from bundle.errors import CallError
from bundle.settings import SETTINGS, Setting

__all__ = ["Arguments", "added_recipes", "as_config", "config_content", "read_arguments", "read_by_fire", "settled"]

_IS_FLAG = re.compile("--?[A-Za-z]").match
_PLAIN = re.compile(r"[\w ./\\~()+,=;'-]*", re.ASCII).fullmatch
"""Text that means itself in a config."""


@dataclass(frozen=True)
class Arguments:
    """A command line in parts.

    Args:
        words: what belongs to no flag, such as the name of a stage.
        flags: texts by key; None for a flag without a value.
    """

    words: list[str] = field(default_factory=list)
    flags: dict[str, str | None] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """The flags' values: of a declared setting by its kind, of any other key as Fire reads it.

        Example:
            >>> Arguments(flags={"dataset_dir": "scan #2", "guess_eye": "false", "x#lr": "0.1", "quiet": None}).values()
            {'dataset_dir': 'scan #2', 'guess_eye': False, 'x#lr': 0.1, 'quiet': True}
        """
        return {key: _value(text, SETTINGS.get(key)) for key, text in self.flags.items()}


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Take a command line apart where Fire does: a flag takes the next argument unless that is a flag too.

    Args:
        arguments: as in ``sys.argv``, without the program.

    Example:
        >>> read_arguments(["run", "inference", "--dataset-dir", "a,b", "--view=crop", "--seed", "-1", "--quiet"])
        Arguments(words=['run', 'inference'], flags={'dataset_dir': 'a,b', 'view': 'crop', 'seed': '-1', 'quiet': None})
    """
    found = Arguments()
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not _IS_FLAG(argument):
            found.words.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        taken = rest.pop(0) if not equals and rest and not _IS_FLAG(rest[0]) else None
        found.flags[name.replace("-", "_")] = value if equals else taken
    return found


def _value(text: str | None, setting: Setting | None) -> Any:
    if text is None:
        return True
    return read_by_fire(text) if setting is None else setting.read(text)


def read_by_fire(text: str) -> Any:
    """The value that MONAI's command line makes of a text.

    Example:
        >>> read_by_fire("a,b"), read_by_fire("scan #2"), read_by_fire("1e-3")
        (('a', 'b'), 'scan', 0.001)
    """
    return fire_parser.DefaultParseValue(text)


def settled(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a call as MONAI's config is to hold them: every path as the name that it is, ``~`` expanded.

    Args:
        overrides: values by key.

    Example:
        >>> settled({"dataset_dir": "100%", "seed": 3})
        {'dataset_dir': "$'100\\\\x25'", 'seed': 3}
    """
    return {key: _settled(value, SETTINGS.get(key)) for key, value in overrides.items()}


def _settled(value: Any, setting: Setting | None) -> Any:
    if setting is None or setting.kind != "path" or not isinstance(value, str | os.PathLike):
        return value
    return as_config(os.path.expanduser(os.fspath(value)))  # noqa: PTH111


def as_config(text: str) -> str:
    """A text as MONAI's configs must hold it to mean itself, though it may hold ``@``, ``$``, ``%`` or ``#``.

    Example:
        >>> as_config("plain"), as_config("@home")
        ('plain', "$'\\\\x40home'")
    """
    if _PLAIN(text):
        return text
    return (
        "$'" + "".join(letter if letter not in "'\\" and _PLAIN(letter) else _escaped(letter) for letter in text) + "'"
    )


def _escaped(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def config_content(paths: Sequence[str | Path]) -> dict[str, Any]:
    """The content of config files (JSON or YAML), merged as MONAI merges them but for the table ``recipes``.

    A later file adds to that table, where MONAI would replace it.

    Raises:
        CallError: a file is not there, or cannot be read.

    Example:
        >>> import tempfile
        >>> from bundle.stages import BUNDLE_ROOT
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     mine = Path(folder, "mine.yaml")
        ...     _ = mine.write_text("recipes: {mine: {base: plus, cup_prior: null}}")
        ...     sorted(config_content([BUNDLE_ROOT / "configs" / "adapt.json", mine])["recipes"])
        ['bn', 'cbmt', 'dac', 'dpl', 'grad_cl', 'mine', 'pfa', 'plus', 'tent']
    """
    for path in paths:
        if not os.path.isfile(path):  # noqa: PTH113
            raise CallError(f"the config file {path} does not exist.", "Pass one of the bundle's folder configs.")
    merged = ConfigParser({})
    try:
        for path in paths:
            for key, value in ConfigParser.load_config_file(str(path)).items():
                merge_kv(merged, "+recipes" if key == "recipes" and key in merged else key, value)
    except Exception as error:
        names = ", ".join(map(str, paths))
        raise CallError(
            f"{names} cannot be read as JSON or YAML ({' '.join(str(error).split())}).", "Mend it."
        ) from error
    content: dict[str, Any] = merged.get()
    return content


def added_recipes(files: Sequence[str | Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The override that gives a stage the recipes of all files and of the call.

    Args:
        files: config files, the stage's own first.
        overrides: values of the call by key; its ``recipes`` are added too.

    Returns:
        ``{"recipes": ...}``, the whole table; empty where MONAI makes the same table of the files.

    Raises:
        CallError: see ``config_content``.

    Example:
        >>> from bundle.stages import BUNDLE_ROOT
        >>> files = [BUNDLE_ROOT / "configs" / "adapt.json"]
        >>> added_recipes(files, {"seed": 1})
        {}
        >>> list(added_recipes(files, {"recipes": {"mine": {}}})["recipes"])[-2:]
        ['plus', 'mine']
    """
    own = overrides.get("recipes", {})
    if not own and len(files) < 2:
        return {}
    table = config_content(files).get("recipes")
    if not isinstance(table, Mapping) or not isinstance(own, Mapping):
        return {}
    whole = {**table, **own}
    return (
        {} if whole == ConfigParser.load_config_files([str(path) for path in files])["recipes"] else {"recipes": whole}
    )
