"""Segment thousands of photographs in one run, some of them broken: is each accounted for, and does anything grow?

    python -m tests.robustness.load_check [--photographs 5000] [--bad 0.02] [--block 500] [--output output/load]

The photographs are phantoms, half of them crops and half whole photographs; the broken ones are cut, empty, or text. Of
each block of photographs the rate, the processor's time and the highest memory are printed, from samples of the running
process.
Exit status 1 if a file has no row, or a row that it must not have.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph

DISTINCT = 48
CROP, PHOTOGRAPH = 384, (768, 768)
INTERVAL = 0.5
"""Seconds between two looks at the process."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """What the process has used by some moment."""

    moment: float
    cpu_s: float
    memory_mib: float


def main() -> None:
    """Make the photographs, segment them, print and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=5000)
    parser.add_argument("--bad", type=float, default=0.02, help="share of broken files")
    parser.add_argument("--block", type=int, default=500)
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "output" / "load")
    args = parser.parse_args()
    folder, out = args.output.absolute() / "in", args.output.absolute() / "out"
    for old in (folder, out):
        shutil.rmtree(old, ignore_errors=True)
    broken = write_photographs(folder, args.photographs, args.bad)
    status, samples = segment(folder, out)
    faults = check(folder, out, status, broken)
    print_blocks(out, samples, args.block)
    verdict = "; ".join(faults) or "each has the row it must have"
    print(f"{args.photographs} files, {len(broken)} of them broken; {verdict}")
    sys.exit(int(bool(faults)))


def write_photographs(folder: Path, count: int, bad: float) -> set[str]:
    """Write the files and return the names of the broken ones, which are spread evenly."""
    folder.mkdir(parents=True)
    distinct = []
    for seed in range(min(DISTINCT, count)):
        camera = tuple(CAMERA_STYLES)[seed // 2 % len(CAMERA_STYLES)]
        phantom = (
            make_photograph(seed, camera=camera, size=PHOTOGRAPH)
            if seed % 2
            else make_crop(seed, camera=camera, size=CROP)
        )
        path = folder.parent / f"{seed}.jpg"
        Image.fromarray(phantom.image).save(path, quality=90)
        distinct.append(path.read_bytes())
        path.unlink()
    names = [f"{index:05d}.jpg" for index in range(count)]
    broken = [name for index, name in enumerate(names) if int((index + 1) * bad) > int(index * bad)]
    for index, name in enumerate(names):
        content = distinct[index % len(distinct)]
        if name in broken:
            content = (content[: len(content) // 3], b"", b"no photograph")[broken.index(name) % 3]
        (folder / name).write_bytes(content)
    return set(broken)


def segment(folder: Path, out: Path) -> tuple[int, list[Sample]]:
    """Run inference as a command and look at its process while it works."""
    command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
    command += ["--dataset_dir", str(folder), "--output_dir", str(out)]
    samples = []
    with (out.parent / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=BUNDLE_ROOT, stdout=log, stderr=log)
        while process.poll() is None:
            try:
                samples.append(sample(process.pid))
            except ProcessLookupError:
                break
            time.sleep(INTERVAL)
    return process.wait(), samples


def sample(pid: int) -> Sample:
    """Processor time and resident memory of a process, from Linux' ``/proc``.

    Raises:
        ProcessLookupError: it has just ended; what waits to be asked for its status has no memory any more.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    memory = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    if memory is None:
        raise ProcessLookupError(pid)
    return Sample(time.time(), (int(fields[11]) + int(fields[12])) / TICKS, int(memory[1]) / 1024)


def check(folder: Path, out: Path, status: int, broken: set[str]) -> list[str]:
    """What is wrong with the results."""
    faults = [] if status == int(bool(broken)) else [f"the exit status is {status}"]
    with (out / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["image"]: row["status"] for row in csv.DictReader(file)}
    files = {path.name for path in folder.iterdir()}
    unreadable = {name for name, found in rows.items() if found == "unreadable"}
    faults += [f"{len(files ^ rows.keys())} rows too many or too few"] * (files != rows.keys())
    faults += [f"{len(unreadable ^ broken)} wrongly called unreadable or not"] * (unreadable != broken)
    for kind in ("masks", "overlays"):
        found = {path.stem for path in (out / kind).iterdir()}
        expected = {Path(name).stem for name in files - broken}
        faults += [f"{len(found ^ expected)} {kind} too many or too few"] * (found != expected)
    return faults


def print_blocks(out: Path, samples: list[Sample], block: int) -> None:
    """Print what each block of photographs took, by the moments at which their overlays were written."""
    moments = sorted(path.stat().st_mtime for path in (out / "overlays").iterdir())
    print("| photographs | a second | processor s each | highest memory MiB |\n|---|---|---|---|")
    for start in range(0, len(moments) - 1, block):
        first, last = moments[start], moments[min(start + block, len(moments) - 1)]
        within = [each for each in samples if first <= each.moment <= last]
        if len(within) < 2:
            continue
        took = within[-1].moment - within[0].moment
        count = sum(within[0].moment < moment <= within[-1].moment for moment in moments)
        cpu = (within[-1].cpu_s - within[0].cpu_s) / max(count, 1)
        memory = max(each.memory_mib for each in within)
        print(f"| {start}-{start + block} | {count / took:.2f} | {cpu:.3f} | {memory:.0f} |")
    if samples:
        memory = max(each.memory_mib for each in samples)
        print(f"highest memory of all, the report's writing included: {memory:.0f} MiB")


if __name__ == "__main__":
    main()
