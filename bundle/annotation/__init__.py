"""An annotator's round trip: contours out as polygons, corrected ones back as labels; and MONAI Label's server."""
