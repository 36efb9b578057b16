"""What is measured on a label map: disc and cup, rims, and which eye it is."""
