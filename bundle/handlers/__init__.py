"""Ignite handlers that neither MONAI nor Ignite provides: checkpoints, divergence, seeds, measures, pictures, errors.

The configs of training, adaptation and inference attach them to their engines. Like MONAI's handlers, each has a method
``attach``; the docstring of a handler says if its position among the other handlers matters.
"""
