"""Ignite handlers that neither MONAI nor Ignite provides."""
