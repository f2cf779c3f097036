"""What the flows see of a picture: framing, the encoder against transformers' own, official names and shapes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.vendor.trellis2.tiny_layout import ENCODER
from vendor.trellis2.conditioning import DEVIATION, MEAN, EmptyPicture, framed, load_encoder
from vendor.trellis2.layout import LayoutError

CPU = torch.device("cpu")


@pytest.fixture
def folder(tiny_root: Path) -> Path:
    return tiny_root.parents[1] / ENCODER


def cutout(height: int, width: int, box: tuple[slice, slice]) -> np.ndarray:
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., :3] = (10, 200, 250)
    pixels[(*box, 3)] = 255
    return pixels


def test_the_subject_fills_a_square_on_black() -> None:
    seen = framed(cutout(120, 90, (slice(30, 110), slice(20, 60))), 64)
    assert seen.shape == (64, 64, 3)
    assert (seen[:, 20:44] == (10, 200, 250)).all()
    assert (seen[:, :12] == 0).all()
    assert (seen[:, 52:] == 0).all()


def test_a_subject_at_the_rim_is_padded() -> None:
    seen = framed(cutout(40, 100, (slice(0, 40), slice(0, 100))), 100)
    assert (seen[35:65] == (10, 200, 250)).all()
    assert (seen[:28] == 0).all()


def test_soft_edges_fade_to_black() -> None:
    pixels = cutout(50, 50, (slice(0, 50), slice(0, 50)))
    pixels[20:30, 20:30, 3] = 51
    assert tuple(framed(pixels, 50)[25, 25]) == (2, 40, 50)


def test_an_empty_cutout_is_refused() -> None:
    with pytest.raises(EmptyPicture):
        framed(np.zeros((8, 8, 4), np.uint8), 32)


def test_all_tokens_after_a_plain_layer_norm(folder: Path) -> None:
    """The reference takes the hidden states before the model's own final norm from transformers."""
    from transformers import DINOv3ViTModel

    drawn = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    found = load_encoder(folder, torch.float32, CPU)(drawn)
    model = DINOv3ViTModel.from_pretrained(folder, dtype=torch.float32).eval()
    heard: list[torch.Tensor] = []
    model.norm.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    values = (drawn / 255.0 - np.array(MEAN)) / np.array(DEVIATION)
    with torch.no_grad():
        model(torch.tensor(values.transpose(2, 0, 1)[None], dtype=torch.float32))
    raw = heard[0][0].double().numpy()
    wanted = (raw - raw.mean(1, keepdims=True)) / np.sqrt(raw.var(1, keepdims=True) + 1e-5)
    assert found.shape == (1 + 4 + 16, 16), "class, registers, patches"
    assert np.abs(found.double().numpy() - wanted).max() / np.abs(wanted).max() < 1e-4


def test_the_full_encoder_has_the_official_names_and_shapes() -> None:
    """As the official file names them: transformers drops the prefix ``model.`` of the blocks where it stores them."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    width, wide = 1024, 4096
    wanted = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.mask_token": (1, 1, width),
        "embeddings.register_tokens": (1, 4, width),
        "embeddings.patch_embeddings.weight": (width, 3, 16, 16),
        "embeddings.patch_embeddings.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for rank in range(24):
        block = {
            **{f"attention.{part}_proj.weight": (width, width) for part in "qkvo"},
            **{f"attention.{part}_proj.bias": (width,) for part in "qvo"},
            **{f"norm{norm}.{kind}": (width,) for norm in (1, 2) for kind in ("weight", "bias")},
            **{f"layer_scale{scale}.lambda1": (width,) for scale in (1, 2)},
            "mlp.up_proj.weight": (wide, width),
            "mlp.up_proj.bias": (wide,),
            "mlp.down_proj.weight": (width, wide),
            "mlp.down_proj.bias": (width,),
        }
        wanted.update({f"layer.{rank}.{name}": shape for name, shape in block.items()})
    sizes = {"hidden_size": width, "intermediate_size": wide, "num_hidden_layers": 24, "num_attention_heads": 16}
    with torch.device("meta"):
        model = DINOv3ViTModel(DINOv3ViTConfig(**sizes, num_register_tokens=4))
    found = {name.removeprefix("model."): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert found == wanted
    assert len(found) == 415


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    spoilt = Path(shutil.copytree(folder, tmp_path / "encoder"))
    (spoilt / name).unlink()
    with pytest.raises(LayoutError, match=f"{name}: is missing"):
        load_encoder(spoilt, torch.float32, CPU)


def test_another_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(folder, tmp_path / "encoder"))
    config = json.loads((spoilt / "config.json").read_text())
    (spoilt / "config.json").write_text(json.dumps({**config, "model_type": "dinov2"}))
    with pytest.raises(LayoutError, match="no DINOv3"):
        load_encoder(spoilt, torch.float32, CPU)


def test_keys_that_do_not_fit_are_named(folder: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(folder, tmp_path / "encoder"))
    config = json.loads((spoilt / "config.json").read_text())
    (spoilt / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(LayoutError, match=r"17 missing: .*layer\.2"):
        load_encoder(spoilt, torch.float32, CPU)
    (spoilt / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(LayoutError, match=r"of another shape: .*mlp"):
        load_encoder(spoilt, torch.float32, CPU)
