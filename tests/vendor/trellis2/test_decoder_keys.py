"""Our decoders hold exactly the parameters of the official checkpoints."""

import pytest
import torch

from tests.vendor.official_keys import official_keys
from vendor.trellis2.sparse_decoder import SparseDecoder, SparseDecoderConfig
from vendor.trellis2.structure_decoder import StructureDecoder, StructureDecoderConfig

SPARSE_ARGS = {
    "model_channels": [1024, 512, 256, 128, 64],
    "latent_channels": 32,
    "num_blocks": [4, 16, 8, 4, 0],
    "block_type": ["SparseConvNeXtBlock3d"] * 5,
    "up_block_type": ["SparseResBlockC2S3d"] * 4,
    "block_args": [{}] * 5,
    "use_fp16": True,
}
"""What upstream's configuration files say of both sparse decoders."""


def shape_decoder() -> SparseDecoder:
    args = {**SPARSE_ARGS, "resolution": 256}
    return SparseDecoder(SparseDecoderConfig.from_checkpoint("FlexiDualGridVaeDecoder", args))


def texture_decoder() -> SparseDecoder:
    args = {**SPARSE_ARGS, "out_channels": 6, "pred_subdiv": False}
    return SparseDecoder(SparseDecoderConfig.from_checkpoint("SparseUnetVaeDecoder", args))


def structure_decoder() -> StructureDecoder:
    args = {
        "out_channels": 1,
        "latent_channels": 8,
        "num_res_blocks": 2,
        "num_res_blocks_middle": 2,
        "channels": [512, 128, 32],
        "use_fp16": True,
    }
    return StructureDecoder(StructureDecoderConfig.from_args(args))


@pytest.mark.parametrize(
    ("checkpoint", "build"),
    [
        ("shape_dec_next_dc_f16c32_fp16", shape_decoder),
        ("tex_dec_next_dc_f16c32_fp16", texture_decoder),
        ("ss_dec_conv3d_16l8_fp16", structure_decoder),
    ],
)
def test_names_and_shapes_equal_the_public_lists(checkpoint, build):
    with torch.device("meta"):
        ours = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    official = {name: stored.shape for name, stored in official_keys(checkpoint).items()}
    assert sorted(set(official) - set(ours)) == [], "missing"
    assert sorted(set(ours) - set(official)) == [], "extra"
    assert ours == official


def test_other_architectures_are_refused_by_name():
    with pytest.raises(ValueError, match="SparseUnetVaeEncoder"):
        SparseDecoderConfig.from_checkpoint("SparseUnetVaeEncoder", SPARSE_ARGS)
    with pytest.raises(ValueError, match="SparseResBlockUpsample3d"):
        SparseDecoderConfig.from_checkpoint(
            "FlexiDualGridVaeDecoder", {**SPARSE_ARGS, "up_block_type": ["SparseResBlockUpsample3d"]}
        )
    with pytest.raises(ValueError, match="group"):
        StructureDecoderConfig.from_args({"channels": [8], "norm_type": "group"})
