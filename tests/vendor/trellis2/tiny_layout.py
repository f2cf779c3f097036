"""The official folder layout with tiny networks and random weights, written by the tests themselves."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from vendor.trellis2.checkpoint import Precision, build_model
from vendor.trellis2.flow import FlowTransformer
from vendor.trellis2.rehearsal import calm, keep_cells, make_sheets, randomise
from vendor.trellis2.sparse_decoder import SparseDecoder
from vendor.trellis2.structure_decoder import StructureDecoder

EXACT = Precision(torch.float32, torch.float32, torch.float32)
REPOSITORY = "microsoft/TRELLIS.2-4B"
STRUCTURE_DECODER = "microsoft/TRELLIS-image-large/ckpts/ss_dec_conv3d_16l8_fp16"
ENCODER = "facebook/dinov3-vitl16-pretrain-lvd1689m"
CELLS = 24
"""About as many tokens as the coarse structure gives at 512."""
LATENT, SEEN = 32, 16
SHAPE_FLOW = "ckpts/slat_flow_img2shape_dit_1_3B_{}_bf16"
TEXTURE_FLOW = "ckpts/slat_flow_imgshape2tex_dit_1_3B_{}_bf16"
CHECKPOINTS = {
    "sparse_structure_flow_model": "ckpts/ss_flow_img_dit_1_3B_64_bf16",
    "sparse_structure_decoder": STRUCTURE_DECODER,
    "shape_slat_flow_model_512": SHAPE_FLOW.format(512),
    "shape_slat_flow_model_1024": SHAPE_FLOW.format(1024),
    "shape_slat_decoder": "ckpts/shape_dec_next_dc_f16c32_fp16",
    "tex_slat_flow_model_512": TEXTURE_FLOW.format(512),
    "tex_slat_flow_model_1024": TEXTURE_FLOW.format(1024),
    "tex_slat_decoder": "ckpts/tex_dec_next_dc_f16c32_fp16",
}


def write_tiny_layout(home: Path) -> Path:
    """Write every file as ``./forge models pull`` lays them out below ``home``; returns TRELLIS.2's own folder."""
    root = home / REPOSITORY
    for seed, (name, reference) in enumerate(CHECKPOINTS.items()):
        stem = (home if reference.startswith("microsoft/") else root) / reference
        stem.parent.mkdir(parents=True, exist_ok=True)
        config = stem.with_name(f"{stem.name}.json")
        config.write_text(json.dumps(_config(name)), encoding="utf-8")
        model = randomise(build_model(config, EXACT), seed)
        if isinstance(model, FlowTransformer):
            calm(model)
        if isinstance(model, StructureDecoder):
            keep_cells(model, 16, CELLS)
        if isinstance(model, SparseDecoder):
            make_sheets(model)
        save_file(_stored(model), stem.with_name(f"{stem.name}.safetensors"))
    (root / "pipeline.json").write_text(json.dumps(_pipeline()), encoding="utf-8")
    write_tiny_encoder(home / ENCODER)
    return root


def write_tiny_encoder(folder: Path) -> None:
    """A DINOv3 of two narrow blocks, in the files that transformers writes."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": SEEN, "intermediate_size": 2 * SEEN, "num_hidden_layers": 2, "num_attention_heads": 1}
    DINOv3ViTModel(DINOv3ViTConfig(**sizes, num_register_tokens=4)).save_pretrained(folder)


def _stored(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def _flow_args(resolution: int, given: int, made: int) -> dict[str, object]:
    return {
        "resolution": resolution,
        "in_channels": given,
        "out_channels": made,
        "model_channels": 12,
        "cond_channels": SEEN,
        "num_blocks": 1,
        "num_heads": 1,
        "mlp_ratio": 2.0,
        "pe_mode": "rope",
        "share_mod": True,
        "initialization": "scaled",
        "qk_rms_norm": True,
        "qk_rms_norm_cross": True,
        "dtype": "bfloat16",
    }


def _decoder_args(**own: object) -> dict[str, object]:
    return {
        "model_channels": [16, 16, 8, 8, 8],
        "latent_channels": LATENT,
        "num_blocks": [1, 1, 0, 0, 0],
        "block_type": ["SparseConvNeXtBlock3d"] * 5,
        "up_block_type": ["SparseResBlockC2S3d"] * 4,
        "use_fp16": True,
        **own,
    }


def _config(name: str) -> dict[str, object]:
    edge = 64 if name.endswith("1024") else 32
    if name == "sparse_structure_flow_model":
        return {"name": "SparseStructureFlowModel", "args": _flow_args(16, 8, 8)}
    if name == "sparse_structure_decoder":
        sizes = {"out_channels": 1, "latent_channels": 8, "num_res_blocks": 1, "num_res_blocks_middle": 1}
        return {"name": "SparseStructureDecoder", "args": {**sizes, "channels": [16, 8, 4], "norm_type": "layer"}}
    if name == "shape_slat_decoder":
        return {"name": "FlexiDualGridVaeDecoder", "args": _decoder_args(resolution=256)}
    if name == "tex_slat_decoder":
        return {"name": "SparseUnetVaeDecoder", "args": _decoder_args(out_channels=6, pred_subdiv=False)}
    given = LATENT if name.startswith("shape") else 2 * LATENT
    return {"name": "ElasticSLatFlowModel", "args": _flow_args(edge, given, LATENT)}


def _pipeline() -> dict[str, object]:
    def sampler(strength: float, rescale: float, interval: list[float], warp: float) -> dict[str, object]:
        params = {
            "steps": 12,
            "guidance_strength": strength,
            "guidance_rescale": rescale,
            "guidance_interval": interval,
            "rescale_t": warp,
        }
        return {"name": "FlowEulerGuidanceIntervalSampler", "args": {"sigma_min": 1e-5}, "params": params}

    spread = {"mean": [0.1 * rank for rank in range(LATENT)], "std": [1.0 + 0.1 * rank for rank in range(LATENT)]}
    return {
        "name": "Trellis2ImageTo3DPipeline",
        "args": {
            "models": CHECKPOINTS,
            "sparse_structure_sampler": sampler(7.5, 0.7, [0.6, 1.0], 5.0),
            "shape_slat_sampler": sampler(7.5, 0.5, [0.6, 1.0], 3.0),
            "tex_slat_sampler": sampler(1.0, 0.0, [0.6, 0.9], 3.0),
            "shape_slat_normalization": spread,
            "tex_slat_normalization": spread,
            "image_cond_model": {"name": "DinoV3FeatureExtractor", "args": {"model_name": ENCODER}},
            "rembg_model": {"name": "BiRefNet", "args": {"model_name": "briaai/RMBG-2.0"}},
            "default_pipeline_type": "1024_cascade",
        },
    }
