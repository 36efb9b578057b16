"""Contours as text, a point per line, as several research data sets ship them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.errors import UnreadablePhotographError

__all__ = ["fits_into", "read_points"]


def read_points(path: Path) -> NDArray[np.float64]:
    """The points of a file, as its two columns have them.

    Args:
        path: a text with two numbers per line, with blanks, commas, semicolons or tabs between them; lines without
            numbers (headings) are passed over.

    Returns:
        N x 2, N at least 3.

    Raises:
        UnreadablePhotographError: the file cannot be read, or holds fewer than three points.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "disc.txt"
        ...     _ = path.write_text("x,y\\n1,2\\n4,2\\n4,6.5\\n")
        ...     read_points(path).tolist()
        [[1.0, 2.0], [4.0, 2.0], [4.0, 6.5]]
    """
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UnreadablePhotographError(path, f"the contour cannot be read ({error.strerror})") from None
    points = []
    for line in lines:
        parts = line.replace(",", " ").replace(";", " ").split()
        try:
            x, y = map(float, parts)
        except ValueError:
            continue
        if not np.isfinite([x, y]).all():
            raise UnreadablePhotographError(path, f"a point of the contour is {x}, {y}: give finite numbers")
        points.append((x, y))
    if len(points) < 3:
        raise UnreadablePhotographError(
            path, f"it holds {len(points)} points with two numbers a line, and a contour has three at least"
        )
    return np.array(points)


def fits_into(points: NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Whether points (x, y) lie inside a picture of H x W, or at most a pixel beyond its edge.

    Example:
        >>> fits_into(np.array([[0.0, 0.0], [9.0, 4.0]]), (5, 10)), fits_into(np.array([[4.0, 9.0]]), (5, 10))
        (True, False)
    """
    height, width = shape
    return bool((points >= -1).all() and (points <= (width, height)).all())
