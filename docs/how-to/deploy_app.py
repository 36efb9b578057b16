"""A MONAI Deploy application: photographs in, masks of disc and cup out.

    python deploy_app.py --input photographs --output masks [--bundle FOLDER or model.ts]

``--bundle`` is the bundle's folder or its network as TorchScript; by default the bundle that is installed. Needs
monai-deploy-app-sdk and highdicom besides the bundle itself (deploy.md). Research use only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from monai.data.image_reader import ImageReader
from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application, Image, IOType, Operator, OperatorSpec
from monai.deploy.operators.monai_bundle_inference_operator import (
    BundleConfigNames,
    IOMapping,
    MonaiBundleInferenceOperator,
)

from bundle.data.listing import list_photographs
from bundle.data.photograph_reader import PhotographReader
from bundle.errors import UnreadablePhotographError
from bundle.io.png import write_png
from bundle.stages import BUNDLE_ROOT


class PhotographSource(Operator):
    """Emits one photograph at each call, read as the bundle's own command reads it: any format, upright, 8 bit."""

    def __init__(self, fragment: Application, *args, items: list[dict[str, str]], **kwargs) -> None:
        self.items = iter(items)
        self.reader: ImageReader = PhotographReader()
        # Without a condition, an operator with no input is called for ever.
        super().__init__(fragment, CountCondition(fragment, len(items)), *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        spec.output("image")

    def compute(self, op_input, op_output, context) -> None:
        item = next(self.items)
        try:
            pixels, metadata = self.reader.get_data(self.reader.read(item["image"]))
        except UnreadablePhotographError as error:
            print(f"left out: {error}")
            return
        op_output.emit(Image(pixels.numpy(), metadata | {"name": item["name"]}), "image")


class MaskWriter(Operator):
    """Writes the label map of each photograph as ``<name>.png``: 0 background, 1 disc rim, 2 optic cup."""

    def __init__(self, fragment: Application, *args, folder: Path, **kwargs) -> None:
        self.folder = folder
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("pred")

    def compute(self, op_input, op_output, context) -> None:
        mask = op_input.receive("pred")
        # x comes before y, as MONAI holds pictures.
        write_png(np.ascontiguousarray(mask.asnumpy().T), self.folder / f"{mask.metadata()['name']}.png")


class DiscCupApp(Application):
    """Source, network with its preprocessing and postprocessing, writer."""

    def __init__(self, photographs: Path, masks: Path, bundle: Path) -> None:
        self.items = list_photographs(photographs, exclude=masks)
        self.masks = masks
        self.bundle = bundle
        masks.mkdir(parents=True, exist_ok=True)
        super().__init__([])

    def compose(self) -> None:
        source = PhotographSource(self, items=self.items, name="source")
        network = MonaiBundleInferenceOperator(
            self,
            app_context=AppContext({}),
            input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
            bundle_path=self.bundle,
            bundle_config_names=BundleConfigNames(config_names=["inference"]),
            name="network",
        )
        writer = MaskWriter(self, folder=self.masks, name="writer")
        self.add_flow(source, network, {("image", "image")})
        self.add_flow(network, writer, {("pred", "pred")})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--output", type=Path, required=True, help="receives the masks")
    parser.add_argument("--bundle", type=Path, default=BUNDLE_ROOT, help="the bundle's folder, or model.ts")
    call = parser.parse_args()
    DiscCupApp(call.input, call.output, call.bundle).run()
