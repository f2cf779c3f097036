"""The flow transformer: official names and shapes, and every part against a reference written another way."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.vendor.official_keys import official_keys
from vendor.trellis2.attention import CrossAttention, HeadNorm, SelfAttention, attend
from vendor.trellis2.flow import FlowBlock, FlowConfig, FlowTransformer, TimeEmbedding
from vendor.trellis2.rotary import dense_coords, rotation_of

FULL = FlowConfig(
    resolution=16,
    in_channels=8,
    out_channels=8,
    model_channels=1536,
    cond_channels=1024,
    num_blocks=30,
    num_heads=12,
    mlp_ratio=5.3334,
)
TINY = FlowConfig(
    resolution=4,
    in_channels=5,
    out_channels=3,
    model_channels=48,
    cond_channels=20,
    num_blocks=2,
    num_heads=3,
    mlp_ratio=2.5,
)
OFFICIAL = {
    "ss_flow_img_dit_1_3B_64_bf16": (8, 8),
    "slat_flow_img2shape_dit_1_3B_512_bf16": (32, 32),
    "slat_flow_imgshape2tex_dit_1_3B_512_bf16": (64, 32),
}
CLOSE = 1e-4


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            spread = 1.0 if parameter.ndim < 2 else 1.0 / math.sqrt(parameter.shape[-1])
            parameter.copy_(torch.randn(parameter.shape, generator=drawn) * spread)
    return module.eval()


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def error(found: torch.Tensor, wanted: np.ndarray) -> float:
    """Largest difference over the largest magnitude."""
    return float(np.abs(found.detach().double().numpy() - wanted).max() / np.abs(wanted).max())


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def layer(module: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ array(module.weight).T + array(module.bias)


def turned(heads: np.ndarray, coords: np.ndarray) -> np.ndarray:
    """Rotation by complex numbers, token by token and axis by axis."""
    tokens, _, channels = heads.shape
    pairs = channels // 2
    count = pairs // 3
    result = heads[..., 0::2] + 1j * heads[..., 1::2]
    for token in range(tokens):
        for axis in range(3):
            for rank in range(count):
                angle = coords[token, axis] / 10_000.0 ** (rank / count)
                result[token, :, axis * count + rank] *= np.exp(1j * angle)
    back = np.empty_like(heads)
    back[..., 0::2], back[..., 1::2] = result.real, result.imag
    return back


def softmax_attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    result = np.empty(query.shape)
    for head in range(query.shape[1]):
        scores = query[:, head] @ key[:, head].T / math.sqrt(query.shape[2])
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        result[:, head] = weights / weights.sum(axis=1, keepdims=True) @ value[:, head]
    return result


def head_norm(module: HeadNorm, x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True)) * array(module.gamma)


def layer_norm(x: np.ndarray, epsilon: float) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)


def self_attention(module: SelfAttention, x: np.ndarray, coords: np.ndarray) -> np.ndarray:
    query, key, value = np.split(layer(module.to_qkv, x), 3, axis=1)
    query, key, value = (part.reshape(len(x), module.heads, -1) for part in (query, key, value))
    query = turned(head_norm(module.q_rms_norm, query), coords)
    key = turned(head_norm(module.k_rms_norm, key), coords)
    return layer(module.to_out, softmax_attention(query, key, value).reshape(len(x), -1))


def cross_attention(module: CrossAttention, x: np.ndarray, context: np.ndarray) -> np.ndarray:
    query = layer(module.to_q, x).reshape(len(x), module.heads, -1)
    key, value = (part.reshape(len(context), module.heads, -1) for part in np.split(layer(module.to_kv, context), 2, 1))
    seen = softmax_attention(head_norm(module.q_rms_norm, query), head_norm(module.k_rms_norm, key), value)
    return layer(module.to_out, seen.reshape(len(x), -1))


def feed_forward(block: FlowBlock, x: np.ndarray) -> np.ndarray:
    wide = layer(block.mlp.mlp[0], x)
    bent = 0.5 * wide * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (wide + 0.044715 * wide**3)))
    return layer(block.mlp.mlp[2], bent)


def whole_block(block: FlowBlock, x: np.ndarray, shared: np.ndarray, context: np.ndarray, coords: np.ndarray):
    modulation = (array(block.modulation) + shared).reshape(6, -1)
    modulated = layer_norm(x, 1e-6) * (1.0 + modulation[1]) + modulation[0]
    x = x + modulation[2] * self_attention(block.self_attn, modulated, coords)
    seen = layer_norm(x, 1e-6) * array(block.norm2.weight) + array(block.norm2.bias)
    x = x + cross_attention(block.cross_attn, seen, context)
    modulated = layer_norm(x, 1e-6) * (1.0 + modulation[4]) + modulation[3]
    return x + modulation[5] * feed_forward(block, modulated)


@pytest.mark.parametrize("checkpoint", OFFICIAL)
def test_names_and_shapes_are_the_official_ones(checkpoint: str) -> None:
    given, made = OFFICIAL[checkpoint]
    fields = {**{name: getattr(FULL, name) for name in FULL.__slots__}, "in_channels": given, "out_channels": made}
    with torch.device("meta"):
        model = FlowTransformer(FlowConfig(**fields), torch.bfloat16)
    found = {name: tuple(parameter.shape) for name, parameter in model.state_dict().items()}
    assert found == {name: stored.shape for name, stored in official_keys(checkpoint).items()}


def test_only_linear_layers_inside_blocks_are_in_the_torsos_type() -> None:
    types = {name: parameter.dtype for name, parameter in FlowTransformer(TINY, torch.bfloat16).named_parameters()}
    in_torso = {name for name, kind in types.items() if kind is torch.bfloat16}
    linear = ("to_qkv.", "to_q.", "to_kv.", "to_out.", "mlp.mlp.")
    assert in_torso == {name for name in types if name.startswith("blocks.") and any(part in name for part in linear)}


def test_rotation_turns_interleaved_pairs_by_place() -> None:
    coords = torch.tensor([[0, 0, 0], [1, 0, 0], [3, 7, 15], [63, 31, 2]])
    heads = normal(4, 2, 128)
    assert error(rotation_of(coords, 128).turn(heads), turned(array(heads), coords.numpy())) < CLOSE


def test_rotated_products_depend_on_the_difference_of_places_alone() -> None:
    one, other = normal(1, 2, 24), normal(1, 2, 24, seed=2)
    here, there, step = torch.tensor([[2, 5, 1]]), torch.tensor([[4, 4, 9]]), torch.tensor([[10, 20, 30]])

    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (rotation_of(a, 24).turn(one) * rotation_of(b, 24).turn(other)).sum(dim=-1)

    torch.testing.assert_close(product(here, there), product(here + step, there + step), rtol=1e-4, atol=1e-4)


def test_dense_coordinates_follow_the_flat_volume() -> None:
    volume = torch.arange(27).view(3, 3, 3)
    coords = dense_coords(3, torch.device("cpu"))
    assert (volume[tuple(coords.T)] == torch.arange(27)).all()


def test_head_norm() -> None:
    module, x = randomised(HeadNorm(3, 16)), normal(5, 3, 16)
    assert error(module(x), head_norm(module, array(x))) < CLOSE


@pytest.mark.parametrize(("channels", "heads", "tokens"), [(48, 3, 7), (1536, 12, 24)])
def test_self_attention(channels: int, heads: int, tokens: int) -> None:
    module, x = randomised(SelfAttention(channels, heads)), normal(tokens, channels)
    coords = torch.randint(0, 64, (tokens, 3), generator=torch.Generator().manual_seed(3))
    found = module(x, rotation_of(coords, channels // heads))
    assert error(found, self_attention(module, array(x), coords.numpy())) < CLOSE


def test_attention_in_blocks_is_the_same_attention() -> None:
    query, key, value = normal(50, 3, 16), normal(31, 3, 16, seed=2), normal(31, 3, 16, seed=3)
    whole = attend(query, key, value)
    assert error(attend(query, key, value, score_bytes=4 * 31 * 3 * 7), array(whole)) < 1e-6
    assert error(whole, softmax_attention(array(query), array(key), array(value))) < CLOSE


def test_a_picture_of_zeros_has_a_shorter_way_to_the_same_answer() -> None:
    module, x = randomised(CrossAttention(48, 20, 3)), normal(9, 48)
    assert error(module(x, None), array(module(x, torch.zeros(11, 20)))) < 1e-6


@pytest.mark.parametrize("config", [TINY, FULL], ids=["tiny", "full size"])
def test_a_block(config: FlowConfig) -> None:
    block = randomised(FlowBlock(config))
    x, context = normal(16, config.model_channels), normal(12, config.cond_channels, seed=2)
    shared = 0.3 * normal(6 * config.model_channels, seed=4)
    coords = dense_coords(16, torch.device("cpu"))[::256]
    with torch.no_grad():
        found = block(x, shared, context, rotation_of(coords, config.model_channels // config.num_heads))
    wanted = whole_block(block, array(x), array(shared), array(context), coords.numpy())
    assert error(found, wanted) < CLOSE


def test_time_embedding() -> None:
    module, time = randomised(TimeEmbedding(48)), 0.37
    rates = 10_000.0 ** (-np.arange(128) / 128)
    features = np.concatenate([np.cos(1000.0 * time * rates), np.sin(1000.0 * time * rates)])
    hidden = layer(module.mlp[0], features)
    wanted = layer(module.mlp[2], hidden / (1.0 + np.exp(-hidden)))
    assert error(module(time), wanted) < CLOSE


def test_the_whole_transformer() -> None:
    model = randomised(FlowTransformer(TINY))
    coords = dense_coords(4, torch.device("cpu"))
    x, context, time = normal(64, 5), normal(6, 20, seed=2), 0.6
    with torch.no_grad():
        found = model(x, time, context, rotation_of(coords, model.head_channels))
    embedded = array(model.t_embedder(time))
    shared = layer(model.adaLN_modulation[1], embedded / (1.0 + np.exp(-embedded)))
    hidden = layer(model.input_layer, array(x))
    for block in model.blocks:
        hidden = whole_block(block, hidden, shared, array(context), coords.numpy())
    assert error(found, layer(model.out_layer, layer_norm(hidden, 1e-5))) < CLOSE


def test_the_torso_in_half_precision_stays_near() -> None:
    exact, coarse = randomised(FlowTransformer(TINY)), FlowTransformer(TINY, torch.bfloat16)
    coarse.load_state_dict(exact.state_dict())
    rotation = rotation_of(dense_coords(4, torch.device("cpu")), exact.head_channels)
    with torch.no_grad():
        found, wanted = (model(normal(64, 5), 0.5, normal(6, 20, seed=2), rotation) for model in (coarse, exact))
    assert found.dtype is torch.float32
    assert error(found, array(wanted)) < 0.05


def test_feed_forward_in_blocks_is_the_same() -> None:
    model = randomised(FlowTransformer(TINY))
    rotation = rotation_of(dense_coords(4, torch.device("cpu")), model.head_channels)
    with torch.no_grad():
        whole = model(normal(64, 5), 0.5, None, rotation)
        model.limit_rows(10)
        assert error(model(normal(64, 5), 0.5, None, rotation), array(whole)) < 1e-6


@pytest.mark.slow
def test_compiled_blocks_are_one_graph_each_for_all_token_counts() -> None:
    """In a process of its own, since the checks of shapes in this one are no part of any graph."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.vendor.trellis2.compiled_flow"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-5
