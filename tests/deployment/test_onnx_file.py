"""The ONNX file names its tensors, takes any batch, says what it is, and segments as the network."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bundle.api import load
from bundle.deployment.onnx_file import export_onnx, main
from bundle.errors import CallError
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop


def test_the_file_segments_batches_as_the_network_and_says_what_it_is(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    main([str(tmp_path / "new" / "model.onnx")])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "new" / "model.onnx", providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape) == ("image", ["batch", 3, 256, 256])
    assert (given.name, given.shape) == ("pred", ["batch", 3, 256, 256])

    pixels = [make_crop(70 + i, camera=camera, size=256).image for i, camera in enumerate(list(CAMERA_STYLES)[:3])]
    views = (torch.from_numpy(np.stack(pixels)).permute(0, 3, 2, 1).float() - 127) / 128
    with torch.inference_mode():
        expected = load(device="cpu").network.eval()(views).numpy()
    assert set(np.unique(expected.argmax(axis=1))) == {0, 1, 2}
    for batch in (slice(0, 1), slice(0, 3)):
        (logits,) = session.run(None, {"image": views[batch].numpy()})
        np.testing.assert_allclose(logits, expected[batch], atol=1e-3)

    facts = session.get_modelmeta().custom_metadata_map
    metadata = json.loads((BUNDLE_ROOT / "configs" / "metadata.json").read_text(encoding="utf-8"))
    for key in ("name", "version", "intended_use", "image_classes", "pred_classes"):
        assert facts[key] == metadata[key]
    assert json.loads(facts["network_data_format"]) == metadata["network_data_format"]
    assert facts["axes"] == "batch, channel, x (column), y (row)"
    assert facts["weights"].startswith("model.pt (sha256 ")


def test_weights_that_do_not_fit_are_a_wrong_call_that_writes_nothing(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CallError, match="does not fit the network"):
        export_onnx(tmp_path / "model.onnx", tmp_path / "other.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["other.pt"]


def test_without_the_packages_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("bundle.deployment.onnx_file.optional_import", lambda name: (None, False))
    with pytest.raises(CallError, match=r"needs onnx and onnxscript. Install them"):
        export_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
