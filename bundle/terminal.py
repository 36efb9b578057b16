"""What a run of ``fundus`` shows on the terminal: a line a step, one bar, and at the end what to do.

Everything else that a library or a component says goes to ``fundus.log`` in the output folder.
"""

from __future__ import annotations

import csv
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import monai.handlers  # noqa: F401 its loggers exist from now on
from monai.bundle import ConfigWorkflow
from tqdm import tqdm

from bundle.data.own_outputs import LOG
from bundle.handlers.bar import Job

__all__ = ["FEW", "Terminal"]

FEW = 10
"""Adapting to fewer photographs than these is said to be uncertain."""
_STEPS = {
    "inference": {"inference": "Segmenting"},
    "evaluation": {"evaluation": "Scoring"},
    "refinement": {"refinement": "Making pseudo-labels"},
    "training": {"training": "Training"},
    "adaptation": {
        "measuring before": "Looking for the discs, and at what the model makes of them",
        "refinement": "Making pseudo-labels",
        "adaptation": "Adapting to the camera, without labels",
        "measuring after": "Looking at what has changed",
    },
}
# Seconds a photograph, of which only the ratios matter: for the time that is left.
_WORK = {"measuring before": 0.4, "refinement": 0.3, "measuring after": 0.15, "inference": 0.3}
_EPOCH = 0.3
_LOSSES = "monai.handlers.StatsHandler"
_LINES = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class Terminal:
    """The terminal of one command, which runs one stage or more.

    Args:
        output_dir: receives the log.
        stages: what the command runs, in this order.

    Example:
        >>> terminal = Terminal("out", ["inference"])
        >>> terminal.say("92 photographs")
        92 photographs
    """

    def __init__(self, output_dir: str | Path, stages: list[str]) -> None:
        self.output_dir = Path(output_dir)
        self.stages = stages
        self.started = time.monotonic()
        self.job: Job | None = None
        self._memory = MemoryHandler(1 << 20, flushLevel=logging.CRITICAL + 1, flushOnClose=False)

    @staticmethod
    def say(line: str) -> None:
        """Show a line, above the bar if there is one."""
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While the block lasts, log to the file, and show warnings of the bundle's own as plain lines."""
        root = logging.getLogger()
        before = root.handlers[:], root.level
        root.handlers[:] = [self._memory, _Warnings(self.say)]
        for name in [name for name in root.manager.loggerDict if name.partition(".")[0] in ("monai", "ignite")]:
            # MONAI's loggers have handlers of their own, which write to the terminal.
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
        # MONAI gives this one a handler when it makes it, unless it is there already, and cuts it off from the root.
        losses = logging.getLogger(_LOSSES)
        losses.handlers[:], losses.propagate = [self._memory], False
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            if self._memory.target is not None:
                self._memory.flush()
                self._memory.target.close()
            losses.handlers.clear()
            root.handlers[:], root.level = before[0], before[1]

    def open_log(self) -> None:
        """Write what was logged so far, and what will be, to the file; call it once the output folder is claimed."""
        if self._memory.target is None:
            file = logging.FileHandler(self.output_dir / LOG, encoding="utf-8", errors="backslashreplace")
            file.setFormatter(_LINES)
            self._memory.setTarget(file)
            self._memory.flushLevel = logging.NOTSET
            self._memory.flush()

    def plan(self, workflow: ConfigWorkflow) -> Job:
        """The command's steps, of which ``workflow`` is the first stage, ready to run.

        Raises:
            CallError: its photographs or its settings are wrong.
        """
        parser = workflow.parser
        count = len(parser.get_parsed_content("items"))
        work = {step: count * seconds for step, seconds in _WORK.items()}
        steps = {step: line for stage in self.stages for step, line in _STEPS[stage].items()}
        if "adaptation" in self.stages:
            settings = parser.get_parsed_content("settings")
            step = min(settings.step(parser.get_parsed_content("batch_size")), count)
            work["adaptation"] = _EPOCH * max(
                settings.photographs(count) * settings.max_epochs, step * settings.least_steps
            )
            if not settings.pseudo_labels:
                del steps["refinement"]
            if not settings.max_epochs:
                del steps["adaptation"]
            if count < FEW:
                self.say(f"note: {count} photographs say little about a camera; {FEW} or more are better.")
        work |= dict.fromkeys(("training", "evaluation"), 1.0)
        return Job(steps, work, self.say, begun=self.open_log)

    def sum_up(self) -> None:
        """Say what was written, what to look at, and which model to use."""
        minutes, seconds = divmod(round(time.monotonic() - self.started), 60)
        took = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
        self.say(f"Done in {took}.")
        if "adaptation" in self.stages:
            self.say(
                _advice(json.loads((self.output_dir / "adaptation.json").read_text(encoding="utf-8")), self.output_dir)
            )
        if "inference" in self.stages:
            with (self.output_dir / "report.csv").open(newline="", encoding="utf-8") as file:
                self.say(_summary(Counter(row["status"] for row in csv.DictReader(file))))
            self.say(f"The page: {self.output_dir / 'report.html'}")
        self.say(f"Details:  {self.output_dir / LOG}")


class _Warnings(logging.Handler):
    """Shows the bundle's own warnings as plain lines."""

    def __init__(self, say: Any) -> None:
        super().__init__(logging.WARNING)
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("bundle"):
            self.say(record.getMessage())


def _advice(adaptation: Mapping[str, Any], output_dir: Path) -> str:
    """Whether to use the adapted model."""
    model = output_dir / "model.pt"
    if adaptation["kept"] == "source":
        reason = adaptation["reason"]
        return (
            f"Keep the model that you started from: adapting was predicted to harm ({reason}). {model} is that model."
        )
    change = {
        name: 100 * (adaptation["after"]["predicted_dice"][name] - adaptation["before"]["predicted_dice"][name])
        for name in ("optic_disc", "optic_cup")
    }
    predicted = f"{change['optic_disc']:+.1f} points of Dice for the disc and {change['optic_cup']:+.1f} for the cup"
    return f"Use the adapted model for this camera: {model} (predicted without labels: {predicted})."


def _summary(statuses: Mapping[str, int]) -> str:
    """How many photographs came out how."""
    words = {"ok": "not flagged", "review": "to review", "no_disc": "without a disc", "unreadable": "unreadable"}
    total = sum(statuses.values())
    counts = ", ".join(f"{statuses[status]} {words[status]}" for status in words if statuses.get(status))
    return f"{total} photograph{'s' * (total != 1)}: {counts}."
