"""Optic disc and cup segmentation that adapts itself, without labels, to a camera it has never seen.

``load``, ``segment`` and ``adapt`` are for scripts and notebooks. Configs name components by the module that they live
in, such as ``bundle.transforms.disc_view.DiscViewd``; ``docs/explanation/architecture.md`` shows the rooms.
"""

import logging
import warnings

from bundle.command_line import end_in_one_line, is_command

if is_command():
    end_in_one_line()
# MONAI warns of these at every start; they concern MONAI alone and hide what a user should read.
warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader", category=UserWarning)
warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
# A stage that was interrupted after its last photograph has none left.
warnings.filterwarnings("ignore", message="`dataloader` is empty", category=UserWarning)

from bundle._version import __version__  # noqa: E402
from bundle.api import adapt, load, segment  # noqa: E402
from bundle.results import Adaptation, Model, Segmentation  # noqa: E402

__all__ = ["Adaptation", "Model", "Segmentation", "__version__", "adapt", "load", "segment"]
