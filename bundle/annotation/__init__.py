"""Correcting contours by hand: polygons for annotation programs, labels from corrected ones, MONAI Label's server.

``python -m bundle.annotation.round_trip`` writes polygons and labels and measures what corrections gain;
``python -m bundle.annotation.label_server`` (``make label-server``) starts the server.
"""
