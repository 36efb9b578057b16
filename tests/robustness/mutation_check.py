"""Do the tests notice a wrong formula? Break the core formulas, one at a time, in a copy of the project.

    python -m tests.robustness.mutation_check

breaks them by the list below, whose entries each change a formula's meaning, and by ``--generated`` changes drawn from
the syntax trees (an operator, a comparison, a number, a condition, two arguments), and runs the tests of the file that
is broken. It prints a table, and ends with status 1 if fewer than 95 % are noticed. A mutant that cannot change any
result counts neither way, and has its reason beside it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("bundle", "configs", "docs", "models", "scripts", "tests", "LICENSE", "README.md", "pyproject.toml")
# Imported once, before the forks: what takes seconds to import and no mutant touches.
HEAVY = (
    "pytest",
    "torch",
    "torch.optim.swa_utils",
    "torch.utils.tensorboard",
    "ignite.handlers",
    "monai.bundle",
    "monai.engines",
    "monai.metrics",
    "monai.networks.nets",
    "monai.transforms",
    "nibabel",
    "pydicom",
    "scipy.spatial",
    "skimage.measure",
)

TESTS = {
    "bundle/adaptation.py": ("tests/test_adaptation.py",),
    "bundle/class_features.py": ("tests/test_class_features.py",),
    "bundle/consensus.py": ("tests/test_consensus.py",),
    "bundle/contrast.py": ("tests/test_contrast.py",),
    "bundle/handlers.py": ("tests/test_handlers.py",),
    "bundle/label_shift.py": ("tests/test_label_shift.py",),
    "bundle/losses.py": ("tests/test_losses.py",),
    "bundle/measurements.py": ("tests/test_measurements.py",),
    "bundle/passes.py": ("tests/test_passes.py",),
    "bundle/peer_losses.py": ("tests/test_peer_losses.py",),
    "bundle/prototypes.py": ("tests/test_prototypes.py",),
    "bundle/refinement.py": ("tests/test_refinement.py",),
    "bundle/regions.py": ("tests/test_regions.py",),
    "bundle/scores.py": ("tests/test_scores.py",),
    "bundle/statistics.py": ("tests/test_statistics.py",),
    "bundle/views.py": ("tests/test_views.py",),
    "configs/adapt.json": ("tests/test_configs.py",),
}
"""The files that are broken, and the tests that are to notice."""


@dataclass(frozen=True)
class Mutant:
    """One change to one file.

    Args:
        file: relative to the project's root.
        old: text that the file holds exactly once, or, with ``start``, the text at that place.
        new: what is put in its stead.
        equivalent: why no test can notice, where none can.
        start: place of ``old`` in the file's bytes; None to look for it.
        where: function that is changed.
    """

    file: str
    old: str
    new: str
    equivalent: str = ""
    start: int | None = None
    where: str = ""

    def apply(self, text: str) -> str:
        """The file's text with the change.

        Raises:
            ValueError: when ``old`` is not there exactly once.
        """
        if self.start is None and text.count(self.old) != 1:
            raise ValueError(f"{self.file} holds {text.count(self.old)} times, not once: {self.old!r}")
        content, old = text.encode(), self.old.encode()
        start = content.index(old) if self.start is None else self.start
        if content[start : start + len(old)] != old:
            raise ValueError(f"{self.file} does not hold {self.old!r} at byte {start}")
        return (content[:start] + self.new.encode() + content[start + len(old) :]).decode()


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: ``caught``, ``survived``, ``timed out`` or ``equivalent``, by which test, in seconds."""

    mutant: Mutant
    verdict: str
    test: str = ""
    seconds: float = 0.0


def _of(file: str, *changes: tuple[str, ...]) -> list[Mutant]:
    return [Mutant(file, *change) for change in changes]


CURATED = [
    *_of(
        "bundle/class_features.py",
        ("return m / m.sum(dim=(2, 3), keepdim=True)", "return m"),
        ("m.flatten(2).sum(dim=2)[..., None, None] > 0", "m.flatten(2).sum(dim=2)[..., None, None] >= 0"),
        ("(rim - cup).sigmoid(), (background - rim)", "(cup - rim).sigmoid(), (background - rim)"),
        ("disc = torch.stack((-one, rim_in_disc, 1 - rim_in_disc)", "disc = torch.stack((-one, one, one)"),
        ("background_outside_cup - 1, one), dim=2)", "background_outside_cup, one), dim=2)"),
        ("return torch.stack((disc, outside_cup), dim=2)", "return torch.stack((outside_cup, disc), dim=2)"),
        ("dropout.to(weight)) / logits.shape[1]", "dropout.to(weight))"),
        (
            "gradient.sum(dim=(4, 5)), weight, dropout.to(weight))",
            "gradient.sum(dim=(4, 5)), weight, dropout.to(weight) * 0 + 1)",
        ),
        ("* alpha.shape[-1] ** 0.5", "* 1.0"),
        ("a = (gradient * features[:, None]).relu()", "a = gradient * features[:, None]"),
        ("a = (_unit(weights.mean(dim=1))", "a = (_unit(weights[:, 0])"),
        (
            "low, high = maps.amin(dim=2, keepdim=True), maps.amax(dim=2, keepdim=True)",
            "low, high = maps.amin(), maps.amax()",
        ),
    ),
    *_of(
        "bundle/prototypes.py",
        ("direction = 2 * (self.objects - self.background)", "direction = self.objects - self.background"),
        ("offset = self.objects.square().sum(dim=1) - ", "offset = self.objects.square().sum(dim=1) + "),
        ("nearer[known_object & ~known_background] = True", "nearer[known_object & ~known_background] = False"),
        ("nearer[~known_object] = False", "nearer[~known_object] = True"),
        ("(label * probability, (~label) * (1 - probability))", "(label * 1.0, (~label) * 1.0)"),
        ("(1 - probability))) * reliable", "(1 - probability)))"),
        ("(~label) * (1 - probability)", "(~label) * probability"),
        (
            "return Prototypes(means[0].float(), means[1].float())",
            "return Prototypes(means[1].float(), means[0].float())",
        ),
    ),
    *_of(
        "bundle/losses.py",
        ('self._total(z, target["probability"], 1 - mask)', 'self._total(z, target["probability"], mask)'),
        ('self._total(z, target["probability"], 1 - mask)', 'self._total(z, target["label"], 1 - mask)'),
        ("mask.sum(dim=(0, 2, 3)).clamp(min=1)).mean()", "mask.sum().clamp(min=1)).mean()"),
        ("(entropy / size + self.dice", "(entropy + self.dice"),
        ("overlap = 2 * (p * q)", "overlap = (p * q)"),
        ("rim = label[:, 0] & mask[:, 0] & ~label[:, 1] & mask[:, 1]", "rim = label[:, 0] & mask[:, 0] & mask[:, 1]"),
        ("cup = label[:, 1] & mask[:, 1]\n", "cup = label[:, 1]\n"),
        ("(cosine - self.margin).relu()[enough].mean()", "(cosine - self.margin).relu().mean()"),
        ("(cosine - self.margin).relu()", "(cosine - self.margin).abs()"),
        ("for c, where in ((0, rim), (1, cup))", "for c, where in ((1, rim), (0, cup))"),
        ("[self.weights[name] * value for", "[value for"),
    ),
    *_of(
        "bundle/peer_losses.py",
        ("return -(log_p.exp() * log_p).sum(dim=1).mean()", "return -(log_p.exp() * log_p).mean()"),
        ("self.upper = 1 - bound_ratio * (1 - threshold)", "self.upper = 1 - bound_ratio * threshold"),
        ("self.lower = bound_ratio * threshold", "self.lower = bound_ratio * (1 - threshold)"),
        ("weights[c] = foreground / background", "weights[c] = background / foreground"),
        ("return (loss * weight).sum() / weight.sum()", "return (loss * weight).mean()"),
        (
            "(functional.softplus(-taught), functional.softplus(taught))",
            "(functional.softplus(taught), functional.softplus(-taught))",
        ),
        ("~label & (q > self.lower)", "~label & (q > 0)"),
        ("if name in self.calibrated and", "if"),
    ),
    *_of(
        "bundle/regions.py",
        ("(p[:, 1] + p[:, 2], p[:, 2])", "(p[:, 1], p[:, 2])"),
        ("torch.logaddexp(rim, cup) - background", "rim - background"),
        ("cup - torch.logaddexp(background, rim)", "cup - rim"),
        ("torch.cat((d[key] >= 1, d[key] >= 2))", "torch.cat((d[key] == 1, d[key] >= 2))"),
    ),
    *_of(
        "bundle/statistics.py",
        ("value.lerp_(source[name], 1 - share)", "value.lerp_(source[name], share)"),
        ('name.endswith((".running_mean", ".running_var")) and', 'name.endswith(".running_mean") and'),
        ("    network.eval()\n", ""),
        ("        network.load_state_dict(source)\n", ""),
    ),
    *_of(
        "bundle/views.py",
        ("before_x, before_y = max(0, -left), max(0, -top)", "before_x, before_y = max(0, -top), max(0, -left)"),
        ("start_x, start_y = left + before_x, top + before_y", "start_x, start_y = before_x, before_y"),
        ("self.pad.inverse(self.crop.inverse(cropped))", "self.crop.inverse(cropped)"),
        ("disc.diameter / self.disc_share", "disc.diameter * self.disc_share"),
        ("round(disc.x - side / 2), round(disc.y - side / 2)", "round(disc.y - side / 2), round(disc.x - side / 2)"),
        ("disc.diameter >= self.crop_share * whole", "disc.diameter < self.crop_share * whole"),
    ),
    *_of(
        "bundle/measurements.py",
        ("vcdr=cup_height / disc_height", "vcdr=cup_width / disc_width"),
        ("np.count_nonzero(window == 2) / np.count_nonzero(window)", "np.count_nonzero(window == 2) / label.size"),
        ("float(pixels.mean() + start)", "float(np.median(pixels) + start)"),
        ("regions = (label[near] >= 1, label[near] == 2)", "regions = (label[near] == 1, label[near] == 2)"),
        ("[contour + origin for contour in region_contours", "[contour for contour in region_contours"),
        ("np.where((p > _LEVEL) == region[window], p, field)", "p"),
        ("origin = np.array([top - 1, left - 1]", "origin = np.array([top, left]"),
        ("_largest_without_holes((label == 2) & disc)", "_largest_without_holes(label == 2)"),
        ("ndimage.binary_fill_holes(largest)", "largest"),
    ),
    *_of(
        "bundle/refinement.py",
        ("label = probability > self.label_threshold", "label = probability >= 0.5"),
        ("reliable & (label == nearer)", "reliable | (label == nearer)"),
        ("reliable & (label == nearer)", "reliable & (label != nearer)"),
        ("uncertainty = (z / 2).sigmoid().std(dim=1)", "uncertainty = z.sigmoid().std(dim=1)"),
        ("uncertainty.maximum(heat_maps", "uncertainty.minimum(heat_maps"),
        ("probability = z.sigmoid().mean(dim=1)", "probability = z.mean(dim=1).sigmoid()"),
        ("reliable = uncertainty < self.uncertainty_threshold", "reliable = uncertainty > self.uncertainty_threshold"),
        ("ascontiguousarray(value.swapaxes(1, 2))", "ascontiguousarray(value)"),
    ),
    *_of(
        "bundle/passes.py",
        ("torch.stack(masks).float() / (1 - dropout)", "torch.stack(masks).float()"),
        ("generator=generator) >= dropout", "generator=generator) < dropout"),
        ('f"{seed}:{name}"', 'f"{name}"'),
        ("return 2 * (p * y).sum(dim=2)", "return (p * y).sum(dim=2)"),
        ("/ (p + y).sum(dim=2).clamp(min=1e-6)", "/ (p * p + y).sum(dim=2).clamp(min=1e-6)"),
        (
            "2 * overlap / total.clamp(min=1), torch.ones_like(total)",
            "2 * overlap / total.clamp(min=1), torch.zeros_like(total)",
        ),
        ("mean = (z.sigmoid().mean(dim=1, keepdim=True) > 0.5)", "mean = (z.mean(dim=1, keepdim=True) > 0)"),
        ("else logits + classifier.bias.view(1, 1, -1, 1, 1)", "else logits"),
    ),
    *_of(
        "bundle/consensus.py",
        ("zoomed(probability.flip(flip) if flip else probability, 1 / zoom", "zoomed(probability, 1 / zoom"),
        ('if flip else probability, 1 / zoom, "border")', 'if flip else probability, zoom, "border")'),
        ("(found * reach).sum(dim=0) / reach.sum(dim=0).clamp(min=1)", "(found * reach).mean(dim=0)"),
        ("network(view.flip(flip) if flip else view).softmax(dim=1)", "network(view.flip(flip) if flip else view)"),
        ("torch.where(reach > 0, z, whole)", "z"),
    ),
    *_of(
        "bundle/label_shift.py",
        ("share = float((torch.sigmoid(z / temperature + shift)", "share = float((torch.sigmoid(z / temperature)"),
        ("math.log(share / (1 - share)) - odds", "math.log(share / (1 - share)) + odds"),
        ("+ shift) * weight).sum() / total)", "+ shift)).mean())"),
        ("(logits[:, 2] - logits[:, 1]).flatten(1)", "(logits[:, 2] - logits[:, 0]).flatten(1)"),
        ("shift, bar = temperature * estimate,", "shift, bar = estimate,"),
        ("(bar / shift) ** 2", "bar / shift"),
        ("if abs(shift) > bar", "if shift > bar"),
        ("error = temperature * sampling_error", "error = sampling_error"),
        ("(1 - passed_on)", "1"),
        ("count / (count - 1)", "1"),
        ("bias[2] += shift", "bias[1] += shift"),
    ),
    *_of(
        "bundle/contrast.py",
        ("there = (similarity + proportions", "there = (similarity - proportions"),
        ("back = similarity.softmax(dim=0)", "back = similarity.softmax(dim=1)"),
        ("return logits.logsumexp(dim=1) - logits[:, 0]", "return logits[:, 1:].logsumexp(dim=1) - logits[:, 0]"),
        ("(own - other)).sum(dim=1) / temperature", "(other - own)).sum(dim=1) / temperature"),
        ("confidence >= confidence.nanmedian", "confidence <= confidence.nanmedian"),
        (
            "self.momentum * old[:, :-1] + (1 - self.momentum) * new",
            "(1 - self.momentum) * old[:, :-1] + self.momentum * new",
        ),
        ("(anchors * local).sum(dim=1) / (count + 2)", "(anchors * local).sum(dim=1) / (count + 1)"),
        ("reliable |= own & (entropy <= low)", "reliable |= own & (entropy >= low)"),
    ),
    *_of(
        "bundle/adaptation.py",
        (
            "entropy = -(p * p.clamp(min=1e-12).log()).sum(dim=1).mean()",
            "entropy = -(p * p.clamp(min=1e-12).log()).mean()",
        ),
        ("dice[1][name] - dice[0][name] < -self.tolerance", "dice[0][name] - dice[1][name] < -self.tolerance"),
        ("has := has_areas[name]) < self.collapse * had", "has := has_areas[name]) > had / self.collapse"),
        ('"background": 1 - shares["optic_disc"]', '"background": shares["optic_disc"]'),
        (
            'loss_{name}"] = math.fsum(v[name] for v in self.values) / len(self.values)',
            'loss_{name}"] = math.fsum(v[name] for v in self.values)',
        ),
        ("            self.teacher.eval()\n", ""),
    ),
    *_of(
        "bundle/handlers.py",
        ("math.isfinite(loss) or loss > self.limit", "math.isfinite(loss)"),
        ("        self.network.load_state_dict(self._good)\n", ""),
        (
            "if has_finite_weights(self.network) and has_finite_weights(self.trained):",
            "if has_finite_weights(self.network):",
        ),
        ("(self.seed * 100_003 + engine.state.epoch)", "(self.seed * 100_003)"),
        ("self.average.ema_model.load_state_dict(self.average.model.state_dict())", "pass"),
    ),
    *_of(
        "bundle/scores.py",
        ("percentile=95", "percentile=100"),
        ("symmetric=True", "symmetric=False"),
        ("values = [0.0, diagonal, diagonal]", "values = [0.0, 0.0, 0.0]"),
    ),
    *_of(
        "configs/adapt.json",
        ("1 - @settings.learning_rate_decay", "@settings.learning_rate_decay"),
        ("handle_buffers='update'", "handle_buffers='copy'"),
    ),
]
"""Changes of meaning, by hand."""

# Generated mutants that cannot change a result: (file, function, old text, new text) and why.
EQUIVALENT: dict[tuple[str, str, str, str], str] = {
    ("bundle/views.py", "DiscViewd.__call__", f"max(0, -{side})", f"max(-{side}, 0)"): "the larger of two is the same"
    for side in ("left", "top")
}

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
# What is said, not computed: messages to people and types.
_SPOKEN = (ast.Raise, ast.JoinedStr, ast.Assert, ast.arguments, ast.AnnAssign)


def generated(file: str, source: str) -> list[Mutant]:
    """Every change that the syntax tree of a file offers, in the order of the text."""
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    found = []
    for where, node in _computed(ast.parse(source), ""):
        for changed in _changes(node):
            if ast.dump(changed) == ast.dump(node):
                continue  # arguments that are the same
            start, end = (
                starts[row - 1] + column
                for row, column in ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
            )
            old, new = source.encode()[start:end].decode(), ast.unparse(changed)
            new = f"({new})" if isinstance(node, (ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp)) else new
            reason = EQUIVALENT.get((file, where, " ".join(old.split()), new), "")
            found.append(Mutant(file, old, new, reason, start, where))
    return found


def _computed(node: ast.AST, where: str) -> Iterator[tuple[str, ast.expr]]:
    """Every expression inside a function that is neither a message nor a type, with the function's name."""
    for child in ast.iter_child_nodes(node):
        name = f"{where}.{child.name}" if isinstance(child, (ast.FunctionDef, ast.ClassDef)) else where
        logs = isinstance(child, ast.Call) and ast.unparse(child.func).startswith("logger.")
        if isinstance(child, _SPOKEN) or logs or child is getattr(node, "returns", None):
            continue
        if isinstance(child, ast.expr) and isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue  # decorators and bases
        if isinstance(child, ast.expr) and where:
            yield where.lstrip("."), child
        yield from _computed(child, name)


def _changes(node: ast.expr) -> Iterator[ast.expr]:
    changed = copy.deepcopy(node)
    if isinstance(changed, (ast.BinOp, ast.BoolOp)) and type(changed.op) in _SWAPS:
        changed.op = _SWAPS[type(changed.op)]()  # type: ignore[assignment]
        yield changed
    elif isinstance(changed, ast.Compare) and type(changed.ops[0]) in _SWAPS:
        changed.ops[0] = _SWAPS[type(changed.ops[0])]()  # type: ignore[assignment]
        yield changed
    elif isinstance(changed, ast.UnaryOp):
        yield changed.operand
    elif isinstance(changed, ast.Constant) and type(changed.value) in (int, float):
        changed.value += 1  # type: ignore[operator]
        yield changed
    elif isinstance(changed, ast.IfExp):
        changed.body, changed.orelse = changed.orelse, changed.body
        yield changed
    elif isinstance(changed, ast.Call) and len(changed.args) > 1 and not isinstance(changed.args[1], ast.Starred):
        changed.args[:2] = changed.args[1::-1]
        yield changed


def drawn(count: int, seed: int, root: Path = ROOT, files: Sequence[str] = tuple(TESTS)) -> list[Mutant]:
    """``count`` generated mutants of Python files, the same ones for the same seed and text."""
    every = [
        mutant
        for file in sorted(files)
        if file.endswith(".py")
        for mutant in generated(file, (root / file).read_text(encoding="utf-8"))
    ]
    return random.Random(seed).sample(every, min(count, len(every)))


def copy_tree(root: Path, target: Path) -> None:
    """Copy what the tests need, and nothing that git ignores lies there."""
    target.mkdir(parents=True)
    for part in PARTS:
        source = root / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        elif source.exists():
            shutil.copy2(source, target / part)


def _run_pytest(tree: Path, tests: Sequence[str], log: Path, limit: float) -> None:
    """In a forked process: run test files of the tree, on the tree's package."""
    os.setpgrp()
    # Time of the processor, which a busy machine does not lengthen; what hangs without using any is ended from outside.
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit),) * 2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False)
    os.chdir(tree)
    packages = {path.name for path in tree.iterdir() if path.is_dir()} | {"conftest"}
    for name in list(sys.modules):
        if name.split(".")[0] in packages or name.startswith("test_"):
            del sys.modules[name]
    sys.path.insert(0, str(tree))
    os.environ["PYTHONPATH"] = str(tree)
    # Two mutants of the same length within a second would share one cached byte code.
    sys.dont_write_bytecode = True
    pytest = importlib.import_module("pytest")
    status = pytest.main(["-x", "-q", "--tb=line", "-p", "no:cacheprovider", "--rootdir", str(tree), *tests])
    strangers = [
        name
        for name, module in sys.modules.items()
        if name.split(".")[0] in packages and not str(getattr(module, "__file__", tree) or tree).startswith(str(tree))
    ]
    print(f"imported from elsewhere: {strangers}" if strangers else "", flush=True)
    os._exit(98 if strangers else int(status))


def run_tests(tree: Path, tests: Sequence[str], limit: float) -> tuple[str, str]:
    """Run test files, for at most ``limit`` seconds of processor time and twenty times as long in all.

    Returns:
        ``caught``, ``survived`` or ``timed out``, and the first test that failed.

    Raises:
        RuntimeError: when the tests could not be run.
    """
    log = tree.parent / "pytest.log"
    process = multiprocessing.get_context("fork").Process(target=_run_pytest, args=(tree, tests, log, limit))
    process.start()
    process.join(20 * limit)
    if process.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        return "timed out", ""
    if process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timed out", ""
    text = log.read_text(encoding="utf-8", errors="replace")
    # 1: a test failed; 2: a test file cannot even be imported.
    if process.exitcode not in (0, 1, 2):
        raise RuntimeError(f"pytest ended with status {process.exitcode} on {' '.join(tests)}:\n{text[-3000:]}")
    failed = [line.split()[1] for line in text.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return ("survived" if process.exitcode == 0 else "caught"), (failed or [""])[0]


def check(
    mutants: Sequence[Mutant], limit: float = 90.0, root: Path = ROOT, tests: dict[str, tuple[str, ...]] | None = None
) -> Iterator[Outcome]:
    """Try mutants, one after the other, in a temporary copy of the project.

    Args:
        mutants: what to break.
        limit: seconds of processor time for each.
        root: the project; never written to.
        tests: test files by the file that is broken.

    Yields:
        What became of each.

    Raises:
        RuntimeError: when the unbroken project fails its tests already.
        ValueError: when a mutant does not fit its file.
    """
    tests = TESTS if tests is None else tests
    texts = {mutant.file: (root / mutant.file).read_text(encoding="utf-8") for mutant in mutants}
    broken = [mutant.apply(texts[mutant.file]) for mutant in mutants]
    with tempfile.TemporaryDirectory(prefix="mutation_check_") as folder:
        tree = Path(folder).resolve() / "tree"
        copy_tree(root, tree)
        for file in sorted({file for name in texts for file in tests[name]}):
            verdict, test = run_tests(tree, (file,), 10 * limit)
            if verdict != "survived":
                raise RuntimeError(f"{file} {verdict} without any change: {test}")
        for mutant, text in zip(mutants, broken, strict=True):
            if mutant.equivalent:
                yield Outcome(mutant, "equivalent", mutant.equivalent)
                continue
            started = time.monotonic()
            (tree / mutant.file).write_text(text, encoding="utf-8")
            try:
                verdict, test = run_tests(tree, tests[mutant.file], limit)
            finally:
                (tree / mutant.file).write_text(texts[mutant.file], encoding="utf-8")
            yield Outcome(mutant, verdict, test, time.monotonic() - started)


def row(number: int, outcome: Outcome) -> str:
    """A line of the table."""

    def cell(text: str, most: int = 70) -> str:
        text = " ".join(text.split()).replace("|", "\\|")
        return text if len(text) <= most else text[: most - 3] + "..."

    mutant = outcome.mutant
    test = outcome.test if outcome.verdict == "equivalent" else outcome.test.partition("::")[2]
    cells = [str(number), f"{mutant.file} {mutant.where}".strip(), cell(mutant.old), cell(mutant.new) or "(removed)"]
    return f"| {' | '.join([*cells, outcome.verdict, cell(test), f'{outcome.seconds:.0f}'])} |"


def summary(outcomes: Sequence[Outcome]) -> tuple[str, float]:
    """The figures in one line, and the share that was caught; what timed out counts as not caught."""
    count = {
        verdict: sum(outcome.verdict == verdict for outcome in outcomes)
        for verdict in ("caught", "survived", "timed out", "equivalent")
    }
    counted = len(outcomes) - count["equivalent"]
    share = count["caught"] / counted if counted else 0.0
    line = f"{count['caught']} of {counted} caught ({100 * share:.1f} %), {count['survived']} survived, "
    return line + f"{count['timed out']} timed out; {count['equivalent']} equivalent, not counted", share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generated", type=int, default=40, help="how many mutants to draw from the syntax trees")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing")
    parser.add_argument(
        "--limit", type=float, default=90.0, help="seconds of processor time for the tests of one mutant"
    )
    parser.add_argument("--only", default="", help="only files whose name holds this")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in HEAVY:
        importlib.import_module(name)
    mutants = [*CURATED, *drawn(arguments.generated, arguments.seed)]
    outcomes = []
    print("| # | where | was | becomes | verdict | test | s |\n| --- | --- | --- | --- | --- | --- | --- |")
    for outcome in check([mutant for mutant in mutants if arguments.only in mutant.file], arguments.limit):
        outcomes.append(outcome)
        print(row(len(outcomes), outcome), flush=True)
    line, share = summary(outcomes)
    print(f"\n{line}")
    raise SystemExit(0 if share >= 0.95 else 1)


if __name__ == "__main__":
    main()
