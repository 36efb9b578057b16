"""Measurements on a label map: sizes of disc and cup, widths of the rim, and which eye it is."""
