"""GeoJSON files as an annotator's program exports them."""

from __future__ import annotations

import json


def save(path, content):
    """Write text, or JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def feature(name, rings, kind="Polygon"):
    """An annotation of a structure."""
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": rings},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


def square(left, top, right, bottom):
    """A closed ring."""
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
