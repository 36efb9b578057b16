"""What is not collected here."""

from __future__ import annotations

# It can be imported in MONAI Label's own environment only, where its tests run (`make test-label`).
collect_ignore = ["label_load.py"]
