"""How long TRELLIS.2's whole architecture takes here, and how much memory: by stage, with random weights.

``./forge bench trellis2`` builds all networks at their official size on a CUDA device, makes one asset at 512 and one
by the cascade at 1024 after a first run that does not count, and writes ``benchmarks/results/trellis2.json`` beside the
published figures. Random weights compute as long as trained ones; a few biases give the token and cell counts that
trained ones have on average. ``--compile`` compiles the flows, ``--profile`` shows the dearest operations, ``--tiny``
takes small networks on the processor, to see that it all runs.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import _machine
from vendor.trellis2.checkpoint import Precision, build_model
from vendor.trellis2.conditioning import ImageEncoder
from vendor.trellis2.flow import FlowTransformer
from vendor.trellis2.layout import Layout, Spread
from vendor.trellis2.pipeline import Road, Wish, generate
from vendor.trellis2.rehearsal import calm, keep_cells, make_sheets, randomise
from vendor.trellis2.residence import ENCODER, PROFILES, Residence
from vendor.trellis2.sampler_settings import SamplerSettings
from vendor.trellis2.sparse_decoder import SparseDecoder
from vendor.trellis2.structure_decoder import StructureDecoder

PUBLISHED_S = {Road.AT_512: 3.0, Road.CASCADE_1024: 17.0}
"""On an H100, as upstream's README has it."""
TOKENS_AT_512 = 2400
"""A quarter of the 9600 tokens that the paper gives as the mean at 1024."""
NO_CUDA = "benchmark trellis2: no CUDA device is here. Run it where one is; --tiny shows on the processor that it runs."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What makes the official networks large."""

    channels: int
    blocks: int
    heads: int
    mlp_ratio: float
    seen: int
    encoder_blocks: int
    encoder_heads: int
    structure: tuple[int, ...]
    structure_blocks: int
    decoder: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    tokens: int
    steps: int


OFFICIAL = Sizes(
    channels=1536,
    blocks=30,
    heads=12,
    mlp_ratio=5.3334,
    seen=1024,
    encoder_blocks=24,
    encoder_heads=16,
    structure=(512, 128, 32),
    structure_blocks=2,
    decoder=(1024, 512, 256, 128, 64),
    decoder_blocks=(4, 16, 8, 4, 0),
    tokens=TOKENS_AT_512,
    steps=12,
)
TINY = Sizes(
    channels=24,
    blocks=1,
    heads=2,
    mlp_ratio=2.0,
    seen=16,
    encoder_blocks=2,
    encoder_heads=1,
    structure=(16, 8, 4),
    structure_blocks=1,
    decoder=(16, 16, 8, 8, 8),
    decoder_blocks=(1, 1, 0, 0, 0),
    tokens=24,
    steps=2,
)


def main() -> None:
    arguments = set(sys.argv[1:])
    unknown = arguments - {"--tiny", "--compile", "--profile"}
    if unknown:
        sys.exit(f"benchmark trellis2: unknown {', '.join(sorted(unknown))}; known are --tiny, --compile, --profile.")
    tiny = "--tiny" in arguments
    if not tiny and not torch.cuda.is_available():
        sys.exit(NO_CUDA)
    device = torch.device("cpu" if tiny else "cuda")
    exact = Precision(torch.float32, torch.float32, torch.float32)
    precision = exact if tiny else Precision(torch.bfloat16, torch.float16, torch.float32)
    sizes = TINY if tiny else OFFICIAL
    networks = Residence(
        layout=layout_of(sizes),
        device=device,
        profile=PROFILES[0],
        load=random_networks(sizes, precision, device, compile_flows="--compile" in arguments),
    )
    results = [measure(networks, road, sizes) for road in PUBLISHED_S]
    if "--profile" in arguments:
        show_profile(networks, sizes)
    document = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "processor",
        "torch": torch.__version__,
        "precision": precision.name,
        "compiled": "--compile" in arguments,
        "weights": "random",
        "roads": results,
    }
    print(json.dumps(document, indent=2))
    if not tiny:
        print(f"written to {_machine.write('trellis2', document)}")


@dataclass(slots=True)
class Watch:
    """Seconds and peak memory of each stage, told apart by its note."""

    device: torch.device
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    note: str = ""
    since: float = 0.0

    def __call__(self, _share: float, note: str) -> None:
        """Heard by the pipeline at every step; a new note is a new stage."""
        if note != self.note:
            self.close()
            self.note = note
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            self.since = time.perf_counter()

    def close(self) -> None:
        """End the stage that runs, once the device has done its work."""
        if not self.note:
            return
        cuda = self.device.type == "cuda"
        if cuda:
            torch.cuda.synchronize()
        self.stages[self.note] = {"seconds": round(time.perf_counter() - self.since, 3)}
        if cuda:
            self.stages[self.note]["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)


def measure(networks: Residence, road: Road, sizes: Sizes) -> dict[str, object]:
    wish = wish_of(road, sizes)
    generate(networks, [picture()], wish, lambda *_: None)
    watch = Watch(networks.device)
    started = time.perf_counter()
    made = generate(networks, [picture()], wish, watch)
    watch.close()
    seconds = time.perf_counter() - started
    published = {
        "published_s_on_an_h100": PUBLISHED_S[road],
        "times_the_published": round(seconds / PUBLISHED_S[road], 2),
    }
    return {
        "road": road.value,
        "seconds": round(seconds, 3),
        **(published if sizes is OFFICIAL else {}),
        "stages": watch.stages,
        "cells": len(made.coords),
        "triangles": len(made.faces),
    }


def show_profile(networks: Residence, sizes: Sizes) -> None:
    cuda = networks.device.type == "cuda"
    activities = [torch.profiler.ProfilerActivity.CPU]
    if cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as log:
        generate(networks, [picture()], wish_of(Road.CASCADE_1024, sizes), lambda *_: None)
    order = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    print(log.key_averages().table(sort_by=order, row_limit=30, max_name_column_width=60))


def wish_of(road: Road, sizes: Sizes) -> Wish:
    return Wish(road=road, structure_steps=sizes.steps, shape_steps=sizes.steps, texture_steps=sizes.steps, seed=0)


def picture() -> np.ndarray:
    rows, columns = np.mgrid[:1024, :1024] - 512.0
    pixels = np.zeros((1024, 1024, 4), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = rows % 256, columns % 256, 128
    pixels[..., 3] = 255 * (np.hypot(rows, columns) < 400)
    return pixels


def layout_of(sizes: Sizes) -> Layout:
    """Samplers as the official ``pipeline.json`` has them."""
    spread = Spread((0.0,) * 32, (1.0,) * 32)
    return Layout(
        root=Path(),
        models={},
        encoder="",
        structure=SamplerSettings(
            steps=sizes.steps,
            guidance_strength=7.5,
            guidance_rescale=0.7,
            guidance_interval=(0.6, 1.0),
            rescale_t=5.0,
        ),
        shape=SamplerSettings(
            steps=sizes.steps,
            guidance_strength=7.5,
            guidance_rescale=0.5,
            guidance_interval=(0.6, 1.0),
            rescale_t=3.0,
        ),
        texture=SamplerSettings(steps=sizes.steps, guidance_interval=(0.6, 0.9), rescale_t=3.0),
        shape_spread=spread,
        texture_spread=spread,
    )


def random_networks(
    sizes: Sizes, precision: Precision, device: torch.device, *, compile_flows: bool
) -> Callable[[str], nn.Module]:
    def load(name: str) -> nn.Module:
        if name == ENCODER:
            return random_encoder(sizes, device)
        with tempfile.TemporaryDirectory() as folder, device:
            config = Path(folder) / "config.json"
            config.write_text(json.dumps(config_of(name, sizes)), encoding="utf-8")
            model = build_model(config, precision)
        randomise(model, seed=sum(name.encode()))
        if isinstance(model, FlowTransformer):
            calm(model)
            if compile_flows:
                model.compile_blocks()
        if isinstance(model, StructureDecoder):
            keep_cells(model, 16, sizes.tokens)
        if isinstance(model, SparseDecoder):
            make_sheets(model)
        return model.requires_grad_(False).eval()

    return load


def random_encoder(sizes: Sizes, device: torch.device) -> nn.Module:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    config = DINOv3ViTConfig(
        hidden_size=sizes.seen,
        intermediate_size=4 * sizes.seen,
        num_hidden_layers=sizes.encoder_blocks,
        num_attention_heads=sizes.encoder_heads,
        num_register_tokens=4,
    )
    with device:
        return ImageEncoder(DINOv3ViTModel(config)).requires_grad_(False).eval()


def config_of(name: str, sizes: Sizes) -> dict[str, object]:
    """The content of ``ckpts/<name>.json``, by the official names of its arguments."""
    if name == "sparse_structure_decoder":
        counts = {"num_res_blocks": sizes.structure_blocks, "num_res_blocks_middle": sizes.structure_blocks}
        args = {"out_channels": 1, "latent_channels": 8, "channels": list(sizes.structure), **counts}
        return {"name": "SparseStructureDecoder", "args": args}
    if name.endswith("_decoder"):
        shape = name.startswith("shape")
        args = {"latent_channels": 32, "model_channels": list(sizes.decoder), "num_blocks": list(sizes.decoder_blocks)}
        own = {"resolution": 256} if shape else {"out_channels": 6, "pred_subdiv": False}
        return {"name": "FlexiDualGridVaeDecoder" if shape else "SparseUnetVaeDecoder", "args": {**args, **own}}
    structure = name.startswith("sparse_structure")
    given = 8 if structure else 64 if name.startswith("tex") else 32
    args = {
        "resolution": 16 if structure else 64 if name.endswith("1024") else 32,
        "in_channels": given,
        "out_channels": 8 if structure else 32,
        "model_channels": sizes.channels,
        "cond_channels": sizes.seen,
        "num_blocks": sizes.blocks,
        "num_heads": sizes.heads,
        "mlp_ratio": sizes.mlp_ratio,
        "pe_mode": "rope",
        "share_mod": True,
        "qk_rms_norm": True,
        "qk_rms_norm_cross": True,
    }
    return {"name": "SparseStructureFlowModel" if structure else "ElasticSLatFlowModel", "args": args}


if __name__ == "__main__":
    main()
