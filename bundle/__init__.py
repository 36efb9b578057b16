"""Optic disc and cup segmentation that adapts itself, without labels, to a camera it has never seen.

The submodules are imported here because configs name them as ``bundle.<module>.<name>``.
"""

from bundle import errors, folders, handlers, network, photographs, regions, scores, views

__version__ = "0.1.0"
__all__ = ["errors", "folders", "handlers", "network", "photographs", "regions", "scores", "views"]
