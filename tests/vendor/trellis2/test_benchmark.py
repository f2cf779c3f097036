"""What ``benchmarks/trellis2.py`` builds is the official architecture, and its small twin runs."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.trellis2 import NO_CUDA, OFFICIAL, config_of, main
from bridge_server.backends.hub_weights import TRELLIS2
from tests.vendor.official_keys import official_keys
from vendor.trellis2.checkpoint import Precision, build_model
from vendor.trellis2.layout import NETWORKS

HALF = Precision(torch.bfloat16, torch.float16, torch.float32)
SHAPE, TEXTURE = "slat_flow_img2shape_dit_1_3B_512_bf16", "slat_flow_imgshape2tex_dit_1_3B_512_bf16"
CHECKPOINTS = {
    "sparse_structure_flow_model": "ss_flow_img_dit_1_3B_64_bf16",
    "sparse_structure_decoder": "ss_dec_conv3d_16l8_fp16",
    "shape_slat_flow_model_512": SHAPE,
    "shape_slat_flow_model_1024": SHAPE,
    "shape_slat_decoder": "shape_dec_next_dc_f16c32_fp16",
    "tex_slat_flow_model_512": TEXTURE,
    "tex_slat_flow_model_1024": TEXTURE,
    "tex_slat_decoder": "tex_dec_next_dc_f16c32_fp16",
}
BYTES = {"f16": 2, "bf16": 2, "f32": 4}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_builds_what_the_official_checkpoints_hold(tmp_path: Path, name: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_of(name, OFFICIAL)))
    with torch.device("meta"):
        model = build_model(config, HALF)
    found = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert found == {key: stored.shape for key, stored in official_keys(CHECKPOINTS[name]).items()}


def test_the_catalogue_states_the_size_of_the_tensors() -> None:
    sizes = {
        name: sum(math.prod(stored.shape) * BYTES[stored.dtype] for stored in official_keys(checkpoint).values())
        for name, checkpoint in CHECKPOINTS.items()
    }
    structure = sizes.pop("sparse_structure_decoder")
    assert [part.nominal_bytes for part in TRELLIS2.parts[:2]] == [sum(sizes.values()), structure]


def test_without_cuda_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    monkeypatch.setattr(sys, "argv", ["trellis2"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == NO_CUDA


def test_an_unknown_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["trellis2", "--fast"])
    with pytest.raises(SystemExit, match="unknown --fast"):
        main()
