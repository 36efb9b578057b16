"""Synthetic photographs: cameras, shifts and phantoms; only training, tests, demonstration and benchmark use them."""
