"""Ignite handlers that neither MONAI nor Ignite provides: checkpoints, divergence, seeds, measures, pictures, errors.

The configs of training, adaptation and inference attach them to their engines. A handler is attached by its ``attach``,
like MONAI's; each says when its place among the others matters.
"""
