"""A real archive on loopback: Orthanc with its DICOMweb plugin, in a folder of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.dicom_tools import TOOLS, run_tool, tool_environment


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Orthanc:
    """A server that can be stopped and started again.

    Args:
        folder: for its configuration, database and log.
        options: further keys of its configuration.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.http, self.dicom = free_port(), free_port()
        (plugin,) = (TOOLS / "usr" / "lib" / "orthanc").glob("libOrthancDicomWeb.so*")
        configuration = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(plugin)],
            "HttpPort": self.http,
            "HttpServerEnabled": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": False,
            "StableAge": 1,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            **options,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}/dicom-web"

    def start(self) -> None:
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [TOOLS / "usr" / "sbin" / "Orthanc", self.folder / "orthanc.json"],
                env=tool_environment(),
                stdout=log,
                stderr=log,
            )
        for _ in range(300):
            try:
                self.ask("/system")
                return
            except OSError:
                assert self._process.poll() is None, (self.folder / "orthanc.log").read_text()
                time.sleep(0.1)
        raise TimeoutError((self.folder / "orthanc.log").read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None

    def ask(self, path: str, method: str = "GET") -> Any:
        """An answer of Orthanc's own REST interface, which has nothing to do with DICOMweb."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            content = answer.read()
        return json.loads(content) if content[:1] in (b"{", b"[") else content

    def send(self, *paths: Path) -> None:
        """Hand files over as a camera does: C-STORE, by DCMTK's ``storescu``."""
        # Several association proposals are too many for its list of classes, so only those that are needed.
        run_tool("storescu", "--required", "127.0.0.1", str(self.dicom), *paths).check_returncode()

    def objects(self) -> dict[str, list[str]]:
        """UIDs of what it holds, by modality."""
        found: dict[str, list[str]] = {}
        for series in self.ask("/series?expand"):
            for instance in series["Instances"]:
                tags = self.ask(f"/instances/{instance}/simplified-tags")
                found.setdefault(series["MainDicomTags"]["Modality"], []).append(tags["SOPInstanceUID"])
        return found

    def arrivals(self) -> int:
        """How many objects were new to it since its beginning."""
        return sum(change["ChangeType"] == "NewInstance" for change in self.ask("/changes?limit=100000")["Changes"])
