"""Random weights that behave in size like trained ones, for tests and measurements without the official weights.

Trained decoders turn each token into a thin sheet of some hundred cells. Random ones would fill the grid or leave
nothing, so a few biases are set: the structure keeps a chosen number of cells, and each of them becomes a flat sheet.
"""

import math

import torch
from torch import nn

from vendor.trellis2.flow import FlowTransformer
from vendor.trellis2.sparse_decoder import SparseDecoder, UpBlock
from vendor.trellis2.structure_decoder import StructureDecoder
from vendor.trellis2.subdivision import OCTANTS

SURE = 4.0
"""A logit that random weights of ``RIPPLE`` do not overturn."""
RIPPLE = 0.2
UPWARDS = 4
"""Bit of an octant that is its step along z."""


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Weights that keep the size of what passes through them, small biases, gains of one."""
    device = next(model.parameters()).device
    drawn = torch.Generator(device).manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or name.endswith("gamma"):
            parameter.fill_(0.0 if name.endswith(("bias", "modulation")) else 1.0)
            continue
        inputs = parameter[0].numel()
        parameter.copy_(
            torch.randn(parameter.shape, generator=drawn, device=device, dtype=torch.float32) / math.sqrt(inputs)
        )
    return model


@torch.no_grad()
def calm(flow: FlowTransformer) -> None:
    """Let a flow lead hardly away from its noise, so that the decoder of its latent sees what it was set up for."""
    flow.out_layer.weight.mul_(RIPPLE**2)


@torch.no_grad()
def keep_cells(decoder: StructureDecoder, latent_edge: int, cells: int, coarse: int = 32) -> None:
    """Shift the structure's logits so that noise gives about ``cells`` cells on a grid of ``coarse`` an edge."""
    last = decoder.out_layer[-1]
    assert isinstance(last, nn.Conv3d)
    assert last.bias is not None
    drawn = torch.Generator().manual_seed(0)
    shape = (1, decoder.input_layer.in_channels, latent_edge, latent_edge, latent_edge)
    logits = decoder(torch.randn(shape, generator=drawn).to(last.bias.device)).float()
    tallest = nn.functional.max_pool3d(logits, logits.shape[-1] // coarse).flatten()
    last.bias -= tallest.topk(cells).values[-1].to(last.bias.dtype)


@torch.no_grad()
def make_sheets(decoder: SparseDecoder) -> None:
    """Let every token become a flat sheet: its lower children at each level, edges along z crossed."""
    lower = torch.tensor([SURE if octant & UPWARDS == 0 else -SURE for octant in range(OCTANTS)])
    for block in decoder.modules():
        if isinstance(block, UpBlock) and block.to_subdiv is not None:
            block.to_subdiv.weight.zero_()
            block.to_subdiv.bias.copy_(lower)
    decoder.output_layer.weight.mul_(RIPPLE)
    if decoder.config.predicts_subdivision:
        decoder.output_layer.bias.copy_(torch.tensor([0.0, 0.0, 0.0, -SURE, -SURE, SURE, 0.0]))
