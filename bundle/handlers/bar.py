"""Progress of a stage, on its own or as one step of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from tqdm import tqdm

__all__ = ["Job", "StepBar", "job_at_work"]


class Job:
    """Progress of several steps: one line per step, and one bar with the remaining time for all steps together.

    Inside the ``with`` block, every ``StepBar`` reports its engine's progress to the job instead of showing its own
    bar.

    Args:
        steps: the line to show for each step, by the step's name (the ``desc`` of its ``StepBar``), in the order of the
            steps. Steps without a line are not shown.
        work: estimated time of each step, by name, in any unit.
        say: function that shows a line.
        disable: whether to hide the bar; None shows it if standard error is a terminal.
        begun: called when the first step begins.

    Attributes:
        share: the part of the job that is done, in [0, 1].

    Example:
        >>> with Job({"a": "First", "b": "Then"}, {"a": 1.0, "b": 3.0}, print, disable=True) as job:
        ...     job.begin("a")
        ...     job.advance("a", 1.0)
        ...     job.begin("b")
        ...     job.advance("b", 0.5)
        ...     job.share
        First
        Then
        0.625
    """

    def __init__(
        self,
        steps: Mapping[str, str],
        work: Mapping[str, float],
        say: Callable[[str], None],
        disable: bool | None = None,
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        total = sum(work[step] for step in steps) or 1.0
        self.steps = dict(steps)
        self.shares = {step: work[step] / total for step in steps}
        self.say = say
        self.disable = disable
        self.begun = begun
        self.share = 0.0
        self._done: dict[str, float] = {}

    def __enter__(self) -> Job:
        global _job
        _job = self
        self._bar = tqdm(
            total=1.0, disable=self.disable, leave=False, bar_format="{percentage:3.0f} %|{bar:40}| {remaining} left"
        )
        return self

    def __exit__(self, *_: object) -> None:
        global _job
        _job = None
        self._bar.close()

    def begin(self, step: str) -> None:
        """Show the line of a step that begins, unless it was shown before."""
        if step not in self.steps or step in self._done:
            return
        if not self._done:
            self.begun()
        self._done[step] = 0.0
        self._bar.clear()
        self.say(self.steps[step])
        self._bar.refresh()

    def advance(self, step: str, done: float) -> None:
        """Set the part of a step that is done, in [0, 1]; it never decreases."""
        if step in self._done:
            self._done[step] = max(self._done[step], min(done, 1.0))
            share = sum(self.shares[name] * part for name, part in self._done.items())
            # Steps before one that has begun were completed or skipped.
            order = list(self.steps)
            share += sum(self.shares[name] * (1 - self._done.get(name, 0.0)) for name in order[: order.index(step)])
            self._bar.update(share - self.share)
            self.share = share


_job: Job | None = None


def job_at_work() -> Job | None:
    """The job inside whose ``with`` block the program is; None outside of any.

    Example:
        >>> with Job({"a": "First"}, {"a": 1.0}, print, disable=True) as job:
        ...     job_at_work() is job
        True
        >>> job_at_work() is None
        True
    """
    return _job


class StepBar(ProgressBar):
    """Ignite's ``ProgressBar``, which inside a ``Job`` shows its progress as a step of that job.

    Args:
        desc: name of the bar and of the step.
        disable: whether to hide the bar, see ``tqdm``; a job has a setting of its own.

    Example:
        >>> trainer = Engine(lambda engine, batch: None)
        >>> with Job({"training": "Training"}, {"training": 1.0}, print, disable=True) as job:
        ...     StepBar("training").attach(trainer)
        ...     _ = trainer.run([0, 1])
        ...     job.share
        Training
        1.0
    """

    def __init__(self, desc: str, disable: bool | None = None) -> None:
        super().__init__(desc=desc, disable=disable)
        self.desc = desc

    def attach(self, engine: Engine, *args: object, **kwargs: object) -> None:  # type: ignore[override]
        """Show the progress of an engine."""
        job = job_at_work()
        if job is None:
            super().attach(engine, *args, **kwargs)  # type: ignore[arg-type]
            return
        engine.add_event_handler(Events.STARTED, lambda: job.begin(self.desc))
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: job.advance(self.desc, _done(engine)))
        engine.add_event_handler(Events.COMPLETED, lambda: job.advance(self.desc, 1.0))


def _done(engine: Engine) -> float:
    epochs, length = engine.state.max_epochs or 1, engine.state.epoch_length or 1
    return engine.state.iteration / (epochs * length)
