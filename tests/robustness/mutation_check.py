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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.robustness.mutants import CURATED, EQUIVALENT, TESTS, Mutant

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


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: ``caught``, ``survived``, ``timed out`` or ``equivalent``, by which test, in seconds."""

    mutant: Mutant
    verdict: str
    test: str = ""
    seconds: float = 0.0


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
        changed.ops[0] = cast(ast.cmpop, _SWAPS[type(changed.ops[0])]())
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
        changed.args[0], changed.args[1] = changed.args[1], changed.args[0]
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
    # The copy comes before the project itself, which is on the path too: the module that is broken must be imported.
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
    mutants: Sequence[Mutant],
    limit: float = 90.0,
    root: Path = ROOT,
    tests: Mapping[str, Sequence[str]] = TESTS,
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
