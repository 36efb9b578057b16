"""Ask MONAI Label's server from several clients at once: is every answer right, does it stay up, does it grow?

    python -m tests.robustness.label_load [--clients 8] [--minutes 10] [--photographs 12] [--output output/label_load]

Runs in MONAI Label's own environment (``make label-server`` makes it), on phantoms, half of them crops. Each client
asks for photographs at random, by name or by upload, and now and then for a broken one, which must be answered with an
HTTP error. A right answer is the command line's mask, pixel for pixel. Exit status 1 if an answer was wrong or the
server ended.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import requests
from PIL import Image

from bundle.annotation.label_server import NAME
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph

BROKEN = "broken.png"
BROKEN_SHARE = 0.05
UPLOAD_SHARE = 0.5
STARTS_WITHIN_S = 300
ANSWERS_WITHIN_S = 300


@dataclass
class Tally:
    """What the clients have seen; written to by several threads."""

    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, outcome: str, seconds: float) -> None:
        with self.lock:
            self.answers[outcome] += 1
            self.seconds.append(seconds)


def main() -> None:
    """Serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--photographs", type=int, default=12)
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "output" / "label_load")
    args = parser.parse_args()
    output = args.output.absolute()
    shutil.rmtree(output, ignore_errors=True)
    studies = output / "studies"
    write_photographs(studies, args.photographs)
    run_stage("inference", dataset_dir=str(studies), output_dir=str(output / "expected"), logging_file=False)
    expected = {path.stem: decoded(path.read_bytes()) for path in (output / "expected" / "masks").iterdir()}
    (studies / BROKEN).write_bytes((studies / "000.png").read_bytes()[:4000])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = serve(output, studies, port)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(url, process)
        tally, memory = load(url, process, studies, expected, args.clients, args.minutes * 60)
        ended = process.poll() is not None
    finally:
        process.terminate()
        process.wait()
    print_tally(tally, memory, args.clients, ended)
    left = [path for path in (output / "app" / "temporary").rglob("*") if path.is_file()]
    print(f"temporary files left: {len(left)}")
    sys.exit(int(ended or bool(tally.answers.keys() - {"right", "refused"})))


def write_photographs(folder: Path, count: int) -> None:
    """Write PNG files, half of them crops."""
    folder.mkdir(parents=True)
    for seed in range(count):
        phantom = make_crop(seed, size=384) if seed % 2 else make_photograph(seed, size=(720, 540))
        Image.fromarray(phantom.image).save(folder / f"{seed:03d}.png")


def serve(output: Path, studies: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the server; what it says goes to a log."""
    command = [sys.executable, "-m", "bundle.annotation.label_server", "--studies", str(studies)]
    command += ["--app", str(output / "app"), "--port", str(port)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MONAI_")}
    with (output / "log.txt").open("wb") as log:
        return subprocess.Popen(command, cwd=BUNDLE_ROOT, stdout=log, stderr=log, env=environment)


def wait_until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the server's first answer.

    Raises:
        SystemExit: the server ended, or took too long.
    """
    end = time.monotonic() + STARTS_WITHIN_S
    while process.poll() is None and time.monotonic() < end:
        try:
            if requests.get(f"{url}/info/", timeout=10).ok:
                return
        except requests.ConnectionError:
            time.sleep(1)
    raise SystemExit("error: the server did not start. See log.txt in the output folder.")


def load(
    url: str,
    process: subprocess.Popen[bytes],
    studies: Path,
    expected: dict[str, np.ndarray],
    clients: int,
    seconds: float,
) -> tuple[Tally, list[float]]:
    """Let the clients ask for some seconds; what they saw, and the server's memory (MiB) at every tenth of them."""
    tally, end = Tally(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=ask, args=(url, studies, expected, random.Random(client), end, tally), daemon=True)
        for client in range(clients)
    ]
    for thread in threads:
        thread.start()
    memory = []
    for tenth in range(1, 11):
        time.sleep(max(0.0, end - seconds * (10 - tenth) / 10 - time.monotonic()))
        memory.append(memory_mib(process.pid))
    for thread in threads:
        thread.join(ANSWERS_WITHIN_S)
    return tally, memory


def ask(url: str, studies: Path, expected: dict[str, np.ndarray], rng: random.Random, end: float, tally: Tally) -> None:
    """One client, which asks until the end."""
    while time.monotonic() < end:
        name = BROKEN if rng.random() < BROKEN_SHARE else f"{rng.choice(sorted(expected))}.png"
        form: dict[str, tuple[str | None, str | bytes]] = {"params": (None, json.dumps({"device": "cpu"}))}
        upload = rng.random() < UPLOAD_SHARE
        if upload:
            form["file"] = (name, (studies / name).read_bytes())
        query = {"image": "" if upload else Path(name).stem, "output": "image"}
        start = time.monotonic()
        try:
            answer = requests.post(f"{url}/infer/{NAME}", params=query, files=form, timeout=ANSWERS_WITHIN_S)
        except requests.RequestException as error:
            tally.add(f"no answer: {type(error).__name__}", time.monotonic() - start)
            continue
        tally.add(judged(answer, name, expected), time.monotonic() - start)


def judged(answer: requests.Response, name: str, expected: dict[str, np.ndarray]) -> str:
    """Whether an answer is right."""
    if name == BROKEN:
        return "refused" if answer.status_code >= 400 else "a mask for a broken photograph"
    if answer.status_code != 200:
        return f"status {answer.status_code}"
    return "right" if np.array_equal(decoded(answer.content), expected[Path(name).stem]) else "another mask"


def decoded(content: bytes) -> np.ndarray:
    """A mask's pixels."""
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


def memory_mib(pid: int) -> float:
    """Resident memory of a process and its children."""
    server = psutil.Process(pid)
    return sum(each.memory_info().rss for each in (server, *server.children(recursive=True))) / 2**20


def print_tally(tally: Tally, memory: list[float], clients: int, ended: bool) -> None:
    """Print what the clients have seen."""
    print(f"{clients} clients, {len(tally.seconds)} answers: {dict(tally.answers.most_common())}")
    if len(tally.seconds) > 1:
        cuts = statistics.quantiles(tally.seconds, n=100)
        print(f"seconds: median {cuts[49]:.2f}, 95 % below {cuts[94]:.2f}, longest {max(tally.seconds):.2f}")
    print(f"memory MiB after each tenth of the time: {', '.join(f'{value:.0f}' for value in memory)}")
    print("the server ended" if ended else "the server is up")


if __name__ == "__main__":
    main()
