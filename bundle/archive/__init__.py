"""An archive's photographs segmented, and masks and reports stored beside them."""
