"""An archive that speaks DICOMweb: QIDO-RS to look, WADO-RS to fetch, STOW-RS to store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
from monai.utils import optional_import

from bundle.archive.found import ArchiveAwayError, ArchiveRefusedError, Found
from bundle.errors import CallError

__all__ = ["DicomWebArchive"]

_TAGS = {"study": "0020000D", "series": "0020000E", "instance": "00080018", "sop_class": "00080016"}
_PAGE = 500
_TIMEOUT_S = (10, 120)
"""To connect, and between two parts of an answer."""
_LATER = (408, 429, 502, 503, 504)
"""Answers that say: not now."""


class DicomWebArchive:
    """An archive behind a URL, by ``dicomweb-client``.

    Args:
        url: of its DICOMweb service, such as ``http://127.0.0.1:8042/dicom-web``.
        user: name to log in with; empty for none.
        password: of that user.
        since: only studies of this date or later, as ``YYYYMMDD``; empty for all.

    Raises:
        CallError: ``dicomweb-client`` is not installed, or the URL is none.

    Example:
        >>> DicomWebArchive("ftp://127.0.0.1")
        Traceback (most recent call last):
        ...
        bundle.errors.CallError: 'ftp://127.0.0.1' is no address of a DICOMweb service. Pass one such as ...
    """

    def __init__(self, url: str, user: str = "", password: str = "", since: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise CallError(
                f"{url!r} is no address of a DICOMweb service.", "Pass one such as http://127.0.0.1:8042/dicom-web."
            )
        package, is_here = optional_import("dicomweb_client")
        if not is_here:
            raise CallError("DICOMweb needs dicomweb-client.", "Install it: pip install -e '.[archive]'.")
        session = optional_import("requests")[0].Session()
        session.auth = (user, password) if user else None
        try:
            self._client = package.DICOMwebClient(url.rstrip("/"), session=session, timeout=_TIMEOUT_S)
        except ValueError:
            remedy = "Pass one such as http://127.0.0.1:8042/dicom-web."
            raise CallError(f"{url!r} is no address of a DICOMweb service.", remedy) from None
        # The watcher itself asks again, and says so.
        self._client.set_http_retry_params(retry=False)
        self.url = url
        self._session = session
        self._filters = {"Modality": "OP"} | ({"StudyDate": f"{since}-"} if since else {})

    def photographs(self) -> Iterator[Found]:
        """All objects whose modality is ophthalmic photography, in pages."""
        offset = 0
        while True:
            page = self._search(search_filters=self._filters, limit=_PAGE, offset=offset)
            yield from (Found(**{name: _value(item, tag) for name, tag in _TAGS.items()}) for item in page)
            offset += len(page)
            if len(page) < _PAGE:
                return

    def fetch(self, found: Found, path: Path) -> None:
        """Write an object to a file, as it is stored.

        Args:
            found: the object.
            path: the file, overwritten if it is there.
        """
        with self._request():
            dataset = self._client.retrieve_instance(
                found.study, found.series, found.instance, media_types=(("application/dicom", "*"),)
            )
        dataset.save_as(path, enforce_file_format=True)

    def holds(self, study: str, series: str = "", instance: str = "") -> bool:
        """Whether there is such a study, such a series in it, or such an object.

        Args:
            study: UID of the study.
            series: UID of a series; empty for any.
            instance: UID of an object; empty for any.
        """
        wanted = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": instance}
        filters = {name: uid for name, uid in wanted.items() if uid}
        return bool(self._search(search_filters=filters, limit=1))

    def store(self, path: Path) -> None:
        """Hand an object over; an archive that has it already keeps it.

        Args:
            path: its file.
        """
        with self._request():
            answer = self._client.store_instances([pydicom.dcmread(path)])
        failed = answer.get("FailedSOPSequence") or ()
        if failed:
            raise ArchiveRefusedError(f"failure {int(failed[0].get('FailureReason') or 0):#06x}")

    def _search(self, **wanted: Any) -> list[Any]:
        with self._request():
            return self._client.search_for_instances(**wanted)

    @contextmanager
    def _request(self) -> Iterator[None]:
        """Turn what goes wrong with a request into the two kinds that a watcher knows.

        Only the status is said: an archive's own words may hold what it says of a patient, and a URL holds UIDs that
        the watcher's line names anyway.
        """
        requests, _ = optional_import("requests")
        try:
            yield
        except requests.HTTPError as error:
            status = error.response.status_code
            if status in _LATER:
                raise ArchiveAwayError(f"status {status}") from None
            if status in (401, 403):
                raise ArchiveAwayError(f"status {status}: it does not let this user in") from None
            raise ArchiveRefusedError("it is gone" if status == 404 else f"status {status}") from None
        except requests.RequestException as error:
            raise ArchiveAwayError(type(error).__name__) from None
        except (ValueError, pydicom.errors.InvalidDicomError) as error:
            raise ArchiveRefusedError(f"an answer that cannot be read ({type(error).__name__})") from None
        finally:
            # Connections that are kept may be closed by the archive just when they are used again.
            self._session.close()


def _value(item: Any, tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])
