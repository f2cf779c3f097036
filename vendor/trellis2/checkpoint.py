"""From a checkpoint to a network: sizes from its JSON file, weights from its safetensors file, every key accounted for.

A network is first laid out without memory, then takes the stored tensors, each brought to the type that the network
wants there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vendor.trellis2.flow import FlowConfig, FlowTransformer
from vendor.trellis2.layout import LayoutError, ModelFiles, read_json
from vendor.trellis2.sparse_decoder import SparseDecoder, SparseDecoderConfig, set_torso_dtype
from vendor.trellis2.structure_decoder import StructureDecoder, StructureDecoderConfig

FLOWS = ("SparseStructureFlowModel", "SLatFlowModel", "ElasticSLatFlowModel")
STRUCTURE_DECODER = "SparseStructureDecoder"
SPARSE_DECODERS = ("FlexiDualGridVaeDecoder", "SparseUnetVaeDecoder")
NAMED_AT_MOST = 6
"""Names listed of each kind of mismatch; the rest is counted."""
FLOW_DEMANDS: Mapping[str, object] = {
    "pe_mode": "rope",
    "share_mod": True,
    "qk_rms_norm": True,
    "qk_rms_norm_cross": True,
}
"""Arguments of a flow that have only one value here, which all official checkpoints have."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Types that the networks compute in; what is sensitive stays in float32 whatever stands here."""

    flow: torch.dtype
    decoder: torch.dtype
    encoder: torch.dtype

    @property
    def name(self) -> str:
        """Short form for identities, e.g. ``bfloat16/float16/float32``."""
        return "/".join(str(kind).removeprefix("torch.") for kind in (self.flow, self.decoder, self.encoder))


def load_model(files: ModelFiles, precision: Precision, device: torch.device) -> nn.Module:
    """The network with its weights, ready to compute. Raises ``LayoutError`` with everything that does not fit."""
    with torch.device("meta"):
        model = build_model(files.config, precision)
    load_weights(model, files.weights, device)
    return model


def build_model(config: Path, precision: Precision) -> nn.Module:
    """The network that a JSON file describes, without sensible weights."""
    content = read_json(config)
    name, args = content.get("name"), content.get("args")
    if not isinstance(name, str) or not isinstance(args, dict):
        raise LayoutError(config, "needs a 'name' and 'args'.")
    try:
        if name in FLOWS:
            return FlowTransformer(flow_config(args), precision.flow)
        model: nn.Module
        if name == STRUCTURE_DECODER:
            model = StructureDecoder(StructureDecoderConfig.from_args(args))
        elif name in SPARSE_DECODERS:
            model = SparseDecoder(SparseDecoderConfig.from_checkpoint(name, args))
        else:
            known = ", ".join((*FLOWS, STRUCTURE_DECODER, *SPARSE_DECODERS))
            raise LayoutError(config, f"describes {name!r}; known are {known}.")
    except KeyError as error:
        raise LayoutError(config, f"lacks the argument {error.args[0]!r}.") from error
    except (TypeError, ValueError) as error:
        if isinstance(error, LayoutError):
            raise
        raise LayoutError(config, f"has an argument that does not fit: {error}.") from error
    set_torso_dtype(model, precision.decoder)
    return model


def flow_config(args: Mapping[str, Any]) -> FlowConfig:
    """Sizes of a flow from its official arguments. Raises ``ValueError`` where one asks for another architecture."""
    for name, demanded in FLOW_DEMANDS.items():
        if args.get(name) != demanded:
            raise ValueError(f"{name} is {args.get(name)!r}, and only {demanded!r} is known")
    channels = int(args["model_channels"])
    first, base = args.get("rope_freq", (1.0, 10_000.0))
    return FlowConfig(
        resolution=int(args["resolution"]),
        in_channels=int(args["in_channels"]),
        out_channels=int(args["out_channels"]),
        model_channels=channels,
        cond_channels=int(args["cond_channels"]),
        num_blocks=int(args["num_blocks"]),
        num_heads=int(args.get("num_heads") or channels // int(args.get("num_head_channels", 64))),
        mlp_ratio=float(args.get("mlp_ratio", 4.0)),
        rope_freq=(float(first), float(base)),
    )


def load_weights(model: nn.Module, file: Path, device: torch.device) -> None:
    """Give a network the tensors of a file: names and shapes have to be the same, none missing, none left over."""
    from safetensors import SafetensorError, safe_open

    wanted = model.state_dict()
    try:
        with safe_open(file, framework="pt", device=str(device)) as stored:
            found = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
            problems = mismatches({name: tuple(tensor.shape) for name, tensor in wanted.items()}, found)
            if problems:
                raise LayoutError(file, f"does not fit the network: {'; '.join(problems)}.")
            state = {name: stored.get_tensor(name).to(tensor.dtype) for name, tensor in wanted.items()}
    except (OSError, SafetensorError) as error:
        raise LayoutError(file, f"is no whole safetensors file ({error}).") from error
    model.load_state_dict(state, strict=True, assign=True)
    model.requires_grad_(False).eval()


def mismatches(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Sentences about every key that is missing, left over, or of another shape."""
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    reshaped = [
        f"{name} is {list(found[name])} and should be {list(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    kinds = (("missing", missing), ("left over", extra), ("of another shape", reshaped))
    return [f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds if names]


def _listed(names: list[str]) -> str:
    rest = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")
