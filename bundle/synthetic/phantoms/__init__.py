"""Phantoms: synthetic fundus photographs with exact labels."""
