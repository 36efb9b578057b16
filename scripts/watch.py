"""Watch an archive: segment each new ophthalmic photograph once, and store its mask and report in its study.

python scripts/watch.py http://127.0.0.1:8042/dicom-web --state /var/lib/fundus-watch

A password is read from the environment variable FUNDUS_ARCHIVE_PASSWORD. docs/how-to/archive.md has the rest.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bundle.archive.dicomweb import DicomWebArchive
from bundle.archive.found import ArchiveAwayError, ArchiveRefusedError
from bundle.archive.ledger import Ledger
from bundle.archive.watcher import Segmenter, Watcher
from bundle.command_line import end_in_one_line
from bundle.report.dicom_sr import check_report_format
from bundle.stages import BUNDLE_ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch until the process is ended.

    Returns:
        with ``--once``: 0 if the archive answered, 1 if not.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the archive's DICOMweb service")
    parser.add_argument("--state", type=Path, required=True, help="folder for what was done and what waits to be sent")
    parser.add_argument("--interval", type=float, default=10, help="seconds between two looks (10)")
    parser.add_argument("--checkpoint", type=Path, default=BUNDLE_ROOT / "models" / "model.pt", help="a model.pt")
    parser.add_argument("--view", default="auto", choices=("auto", "crop", "photograph"))
    parser.add_argument("--since", default="", metavar="YYYYMMDD", help="only studies of this date or later")
    parser.add_argument("--only_new", action="store_true", help="pass over what is there when --state is first used")
    parser.add_argument("--retry", action="store_true", help="try again what failed or was refused")
    parser.add_argument("--once", action="store_true", help="look until nothing is left to do, and end")
    parser.add_argument("--user", default="", help="name to log in with")
    call = parser.parse_args(arguments)
    end_in_one_line()
    _log()
    check_report_format("dicom_sr")
    segment = Segmenter(call.checkpoint, view=call.view)
    archive = DicomWebArchive(call.url, call.user, os.environ.get("FUNDUS_ARCHIVE_PASSWORD", ""), call.since)
    ledger = Ledger(call.state)
    if call.retry:
        ledger.try_again()
    watcher = Watcher(archive, ledger, segment)
    if not call.once:
        watcher.run(call.interval, call.only_new)
    try:
        if call.only_new:
            watcher.begin()
        while watcher.look():
            pass
    except (ArchiveAwayError, ArchiveRefusedError) as error:
        logging.getLogger("bundle.archive").error("the archive does not answer: %s", error)
        return 1
    finally:
        ledger.close()
    return 0


def _log() -> None:
    """A line for each object of the archive, and nothing of what the stage says of its own."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("bundle.archive").setLevel(logging.INFO)
    for name in ("dicomweb_client", "monai"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
