"""Whatever ends a command, its status and one line on stderr say what happened."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import bundle
from bundle.command_line import INTERRUPTED, UNEXPECTED, WRONG_CALL, is_command

# The package's own start imports MONAI, which takes long.
LIGHT = f"""
import atexit, logging, sys, types
sys.modules["bundle"] = types.ModuleType("bundle")
sys.modules["bundle"].__path__ = {list(bundle.__path__)!r}
from bundle.command_line import end_in_one_line
from bundle.errors import CallError
logging.basicConfig(stream=sys.stdout, format="logged %(message)s")
end_in_one_line()
atexit.register(print, "left")
"""
WRONG = "raise CallError('there is no\\n  folder x.', 'Make one.')"
LINE = "error: there is no folder x. Make one.\n"


def ended(body: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIGHT + body, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def wrapped(body: str) -> str:
    """As MONAI wraps what a config raises."""
    return f"try:\n    {body}\nexcept Exception as error:\n    raise RuntimeError('Failed to evaluate') from error"


@pytest.mark.parametrize("body", [WRONG, wrapped(WRONG), wrapped("exec(" + repr(wrapped(WRONG)) + ")")])
def test_a_wrong_call_ends_with_its_line_and_status_2(body):
    done = ended(body)
    assert (done.returncode, done.stderr, done.stdout) == (WRONG_CALL, LINE, "left\n")


def test_an_unexpected_error_leaves_its_traceback_in_the_output_folder(tmp_path):
    for arguments in (("--output_dir", tmp_path / "out"), (f"--output_dir={tmp_path / 'out'}",)):
        done = ended(wrapped("1 / 0"), "run", "--view", "crop", *arguments)
        log = tmp_path / "out" / "error.log"
        assert done.returncode == UNEXPECTED not in (0, 1, 2)
        assert done.stderr == f"error: unexpected ZeroDivisionError: division by zero (see {log})\n"
        text = log.read_text(encoding="utf-8")
        assert text.startswith("Traceback")
        assert "Failed to evaluate" in text
        log.unlink()


def test_where_the_output_folder_is_unknown_or_closed_the_traceback_is_elsewhere(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "temporary").mkdir()
    for arguments in ((), ("--output_dir",), ("--output_dir", tmp_path / "file")):
        done = ended("1 / 0", *arguments, TMPDIR=str(tmp_path / "temporary"))
        (log,) = (tmp_path / "temporary").iterdir()
        assert (done.returncode, done.stderr.count("\n")) == (UNEXPECTED, 1)
        assert f"(see {log})" in done.stderr
        assert log.read_text(encoding="utf-8").startswith("Traceback")
        log.unlink()
    assert (tmp_path / "file").read_bytes() == b""


def test_each_of_several_processes_has_a_log_of_its_own(tmp_path):
    for rank in "01":
        ended("1 / 0", "--output_dir", tmp_path, RANK=rank)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["error.log", "error_1.log"]


@pytest.mark.parametrize("error", ["MemoryError()", "RuntimeError('DefaultCPUAllocator: can\\'t allocate memory')"])
def test_an_end_of_memory_says_what_to_do(error, tmp_path):
    done = ended(wrapped(f"raise {error}"), "--output_dir", tmp_path)
    assert done.returncode == UNEXPECTED
    assert "memory: pass a smaller --batch_size" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_line_stays_one_line_and_short(tmp_path):
    done = ended("raise ValueError('a\\nb' * 9999)", "--output_dir", tmp_path)
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("before", ["", f"try:\n    {WRONG}\nexcept ValueError:\n    "])
def test_an_interruption_says_how_to_go_on(before):
    done = ended(f"{before}raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (INTERRUPTED, "stopped; the same command continues.\n")


@pytest.mark.parametrize("status", [0, 1, 3])
def test_statuses_of_the_programs_own_pass(status):
    done = ended(f"raise SystemExit({status})")
    assert (done.returncode, done.stderr) == (status, "")


def test_the_line_is_shown_by_one_of_several_processes_too():
    """PyTorch puts a hook of its own in front, which holds back what is written to ``sys.stderr``."""
    hook = """
import io
before = sys.excepthook
def distributed(*args):
    stderr, sys.stderr = sys.stderr, io.StringIO()
    try:
        before(*args)
    finally:
        sys.stderr = stderr
sys.excepthook = distributed
"""
    done = ended(hook + WRONG)
    assert (done.returncode, done.stderr) == (WRONG_CALL, LINE)


def test_engines_log_nothing_of_what_the_line_says():
    body = """
log = logging.getLogger("ignite.engine")
for error in (CallError("wrong.", "Mend."), KeyboardInterrupt(), ValueError()):
    try:
        try:
            raise error
        except BaseException:
            log.error("terminating due to %s", type(error).__name__)
            raise RuntimeError from error
    except RuntimeError:
        log.exception("again due to %s", type(error).__name__)
log.error("all is well")
"""
    said = [line for line in ended(body).stdout.splitlines() if line.startswith("logged")]
    assert said == ["logged again due to KeyboardInterrupt", "logged terminating due to ValueError",
                    "logged again due to ValueError", "logged all is well"]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "ours"),
    [
        ("monai.bundle.__main__", True),
        ("monai.bundle", True),
        ("bundle.benchmark.runs", True),
        ("bundle.__main__", True),
        ("pytest.__main__", False),
        ("bundles", False),
        ("monai.apps", False),
        (None, False),
    ],
)
def test_only_the_bundle_s_own_commands_end_so(monkeypatch, program, ours):
    main = types.ModuleType("__main__")
    main.__spec__ = program and types.SimpleNamespace(name=program)  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert is_command() is ours


@pytest.mark.parametrize(
    ("started", "ours"), [(["-m", "bundle.benchmark.runs"], True), (["-mbundle.x"], True), (["-m", "other"], False)]
)
def test_a_module_of_the_package_is_known_while_python_imports_the_package(monkeypatch, started, ours):
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-u", *started, "--data", "-m"])
    monkeypatch.setattr(sys, "argv", ["-m", "--data", "-m"])
    assert is_command() is ours


def test_a_program_that_imports_the_bundle_ends_as_it_always_did(tmp_path):
    script = Path(tmp_path / "script.py")
    script.write_text(
        "import bundle, sys\nassert sys.excepthook is sys.__excepthook__\nraise bundle.errors.CallError('a', 'b')"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(bundle.__file__).parents[1])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("bundle.errors.CallError: a b\n")


def test_the_stages_end_so(tmp_path):
    """Of wrong calls tests/integration/test_stages.py knows more."""
    call = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
    call += ["--items", "$[][0]", "--output_dir", str(tmp_path / "out")]
    done = subprocess.run(call, cwd=Path(bundle.__file__).parents[1], capture_output=True, text=True, check=False)
    log = tmp_path / "out" / "error.log"
    assert done.returncode == UNEXPECTED
    assert done.stderr.splitlines()[-1] == f"error: unexpected IndexError: list index out of range (see {log})"
    assert "Traceback" not in done.stderr + done.stdout
    assert "IndexError" in log.read_text(encoding="utf-8")
