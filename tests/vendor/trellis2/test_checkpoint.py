"""The loader: every file, every key and every shape accounted for, and one error that names all that is wrong."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.vendor.trellis2.tiny_layout import EXACT, REPOSITORY
from vendor.trellis2.checkpoint import Precision, build_model, load_model, mismatches
from vendor.trellis2.layout import NETWORKS, LayoutError, ModelFiles, read_layout

FLOW = "shape_slat_flow_model_512"
HALF = Precision(torch.bfloat16, torch.float16, torch.float32)
CPU = torch.device("cpu")


@pytest.fixture
def flow(tiny_root: Path, tmp_path: Path) -> ModelFiles:
    """A copy of one network that a test may spoil."""
    found = read_layout(tiny_root).find(FLOW)
    return ModelFiles(*(Path(shutil.copy(path, tmp_path)) for path in (found.config, found.weights)))


def spoil(flow: ModelFiles, **changes: object) -> ModelFiles:
    content = json.loads(flow.config.read_text())
    content["args"].update(changes)
    flow.config.write_text(json.dumps(content))
    return flow


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", [EXACT, HALF], ids=["float32", "half"])
def test_what_is_stored_is_what_computes(tiny_root: Path, name: str, precision: Precision) -> None:
    files = read_layout(tiny_root).find(name)
    model = load_model(files, precision, CPU)
    stored = load_file(files.weights)
    held = model.state_dict()
    assert held.keys() == stored.keys()
    for key, tensor in held.items():
        assert tensor.device.type == "cpu"
        assert torch.equal(tensor, stored[key].to(tensor.dtype)), key
    assert {tensor.dtype for tensor in held.values()} <= {torch.float32, precision.flow, precision.decoder}
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_one_error_names_all_that_does_not_fit(flow: ModelFiles) -> None:
    state = load_file(flow.weights)
    del state["out_layer.bias"]
    state["blocks.0.self_attn.to_qkv.weight"] = torch.zeros(34, 12)
    state["blocks.1.modulation"] = torch.zeros(3)
    save_file(state, flow.weights)
    with pytest.raises(LayoutError) as caught:
        load_model(flow, EXACT, CPU)
    said = str(caught.value)
    assert caught.value.file == flow.weights
    assert "1 missing: out_layer.bias" in said
    assert "1 left over: blocks.1.modulation" in said
    assert "blocks.0.self_attn.to_qkv.weight is [34, 12] and should be [36, 12]" in said


def test_long_lists_are_counted() -> None:
    (told,) = mismatches({f"layer.{rank}": (1,) for rank in range(20)}, {})
    assert told.startswith("20 missing: layer.0, layer.1")
    assert told.endswith("and 14 more")


def test_a_broken_download_is_named(flow: ModelFiles) -> None:
    flow.weights.write_bytes(flow.weights.read_bytes()[:-100])
    with pytest.raises(LayoutError, match="no whole safetensors file"):
        load_model(flow, EXACT, CPU)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pe_mode": "ape"}, "pe_mode is 'ape', and only 'rope' is known"),
        ({"share_mod": False}, "share_mod is False"),
        ({"model_channels": "wide"}, "wide"),
    ],
)
def test_another_architecture_is_refused(flow: ModelFiles, changes: dict[str, object], said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        build_model(spoil(flow, **changes).config, EXACT)


def test_an_unknown_network_is_refused(flow: ModelFiles) -> None:
    flow.config.write_text('{"name": "Gaussians", "args": {}}')
    with pytest.raises(LayoutError, match="'Gaussians'; known are SparseStructureFlowModel"):
        build_model(flow.config, EXACT)


def test_missing_arguments_are_named(flow: ModelFiles) -> None:
    flow.config.write_text('{"name": "SLatFlowModel", "args": {"pe_mode": "rope", "share_mod": true, "qk_rms_norm": true, "qk_rms_norm_cross": true}}')  # fmt: skip  # noqa: E501
    with pytest.raises(LayoutError, match="lacks the argument 'model_channels'"):
        build_model(flow.config, EXACT)


def changed(root: Path, place: Path, change: dict[str, object]) -> Path:
    content = json.loads((root / "pipeline.json").read_text())
    content["args"].update(change)
    place.mkdir(parents=True, exist_ok=True)
    (place / "pipeline.json").write_text(json.dumps(content))
    return place


def test_the_layout_gives_samplers_and_spreads(tiny_root: Path) -> None:
    layout = read_layout(tiny_root)
    assert layout.structure.guidance_strength == 7.5
    assert layout.structure.guidance_rescale == 0.7
    assert layout.structure.rescale_t == 5.0
    assert layout.texture.guidance_interval == (0.6, 0.9)
    assert layout.shape_spread.mean[10] == pytest.approx(1.0)
    assert layout.texture_spread.std[10] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape_slat_sampler": {"name": "Heun", "args": {}, "params": {}}}, "sampler 'Heun'"),
        ({"image_cond_model": {"name": "Clip", "args": {}}}, "image encoder 'Clip'"),
        ({"tex_slat_normalization": {"mean": [0.0], "std": [0.0]}}, "do not fit together"),
        ({"models": None}, "wrong kind"),
    ],
)
def test_a_strange_pipeline_is_refused(tiny_root: Path, tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        read_layout(changed(tiny_root, tmp_path, change))


def test_a_missing_file_is_named(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no cache"))
    root = changed(tiny_root, tmp_path / "owner" / "name", {})
    with pytest.raises(LayoutError, match=r"shape_dec_next_dc_f16c32_fp16.json: is missing"):
        read_layout(root).find("shape_slat_decoder")
    with pytest.raises(LayoutError, match=r"dinov3-vitl16-pretrain-lvd1689m/config.json: is missing"):
        read_layout(root).find_encoder()
    with pytest.raises(LayoutError, match=r"pipeline\.json: is missing"):
        read_layout(tmp_path / "nowhere")


def test_files_are_found_in_the_hubs_cache(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for owner, name in (("microsoft", "TRELLIS.2-4B"), ("microsoft", "TRELLIS-image-large")):
        cached = tmp_path / f"models--{owner}--{name}"
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text("abc")
        (cached / "snapshots").mkdir()
        (cached / "snapshots" / "abc").symlink_to(tiny_root.parents[1] / owner / name)
    root = tmp_path / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots" / "abc"
    found = read_layout(root)
    assert all(found.find(name).weights.is_file() for name in NETWORKS)
