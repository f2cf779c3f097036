"""The learned generator with tiny random weights in the official layout, through a real server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from open3dforge.v1 import jobs_pb2

from bridge_server.backends.generator.base import GENERATORS, GenerationSettings
from bridge_server.backends.generator.trellis2_choices import DEVICE_VARIABLE, FOLDER_VARIABLE, MEMORY_VARIABLE
from bridge_server.errors import BackendUnavailable
from bridge_server.pipeline.preset_library import default_library
from bridge_server.run import SilentRun
from bridge_server.values.image import Cutout, Cutouts, View
from tests.end_to_end import input_files
from tests.end_to_end.workplace import TINY, Workplace, opened, until

SAMPLED = {
    **TINY,
    "generate.sparse_structure_steps": 2,
    "generate.shape_steps": 2,
    "generate.texture_steps": 2,
}
SOON_S = 20.0
"""Far above the two seconds after which a stage is ended by force, for machines with other work to do."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tiny weights, and an environment that names them and the processor."""
    from tests.vendor.trellis2.tiny_layout import write_tiny_layout

    root = write_tiny_layout(tmp_path_factory.mktemp("weights"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(root))
        patch.setenv(DEVICE_VARIABLE, "cpu")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield root


@pytest.fixture(scope="module")
def learned(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A server whose workers find those weights."""
    with opened(tmp_path_factory.mktemp("learned"), tmp_path_factory.mktemp("learned-packages")) as place:
        yield place


@pytest.mark.slow
def test_a_photo_becomes_a_package(learned: Workplace, inputs: Path) -> None:
    """Without a wish the generator with weights comes first."""
    assert GENERATORS.choose("auto") == "trellis2"
    forged = learned.forge(input_files.vase_photo(inputs), settings=SAMPLED, name="Learned")
    assert forged.manifest.provenance.generator == "trellis2"
    meshes = [path for path in forged.folder.rglob("*") if path.suffix in {".glb", ".fbx"}]
    assert meshes
    assert {stage.stage for stage in forged.job.stages} >= {"matte", "generate", "decimate", "bake_albedo", "export"}
    again = learned.forge(input_files.vase_photo(inputs), settings=SAMPLED, name="Learned")
    assert again.fresh == set(), "its weights and settings are the same"


@pytest.mark.slow
def test_it_is_cancelled_between_two_steps(learned: Workplace, inputs: Path) -> None:
    settings = {**SAMPLED, "generate.sparse_structure_steps": 100, "generate.seed": 7}
    job = learned.submit(input_files.vase_photo(inputs), settings=settings, generator="trellis2")
    for event in learned.client.watch(job.name):
        if event.stage_progressed.note == "finding the coarse structure" and event.stage_progressed.fraction > 0.08:
            break
    learned.client.cancel_job(job.name)
    ended = jobs_pb2.JOB_STATE_CANCELLED
    until(lambda: learned.client.get_job(job.name).state == ended, SOON_S)
    states = {each.stage: each.state for each in learned.client.get_job(job.name).stages}
    assert states["generate"] != jobs_pb2.STAGE_STATE_FINISHED
    assert learned.leftovers() == []


@pytest.mark.slow
def test_out_of_memory_goes_on_under_the_next_profile_and_says_so(
    weights: Path, inputs: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stages run in this process, so that torch's own allocation can fail the way it does on a full device.

    Two photos condition the asset.
    """
    import torch

    allocate = torch.cat
    failed: list[int] = []

    def cat(tensors, *arguments: object, **options: object) -> torch.Tensor:
        made = allocate(tensors, *arguments, **options)
        if made.ndim == 2 and made.shape[1] == 64 and len(tensors) == 2 and not failed:
            failed.append(len(made))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return made

    monkeypatch.setenv(MEMORY_VARIABLE, "16")
    monkeypatch.setattr(torch, "cat", cat)
    folders = tmp_path_factory.mktemp("poor"), tmp_path_factory.mktemp("poor-packages")
    with opened(*folders, executor="inline") as place:
        views = {side: input_files.vase_photo(inputs, f"vase_{side}.png") for side in ("front", "left")}
        forged = place.forge(views=views, settings=SAMPLED, name="Poor", generator="trellis2")
    assert failed
    (told,) = [entry for entry in forged.manifest.provenance.fallbacks if entry.code == "memory_profile_lowered"]
    assert "while colouring it under the 16 GB profile; it went on under the 12 GB profile" in told.message


@pytest.mark.parametrize(
    ("variable", "value", "detail", "remedy"),
    [
        (FOLDER_VARIABLE, "no/such/folder", "pipeline.json: is missing", "models pull trellis2"),
        (DEVICE_VARIABLE, "abacus", "is 'abacus'", "cuda, mps, cpu"),
    ],
)
def test_why_it_is_not_available(
    weights: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, detail: str, remedy: str
) -> None:
    monkeypatch.setenv(variable, value)
    found = GENERATORS.availability("trellis2")
    assert not found.available
    assert detail in found.detail
    assert remedy in found.remedy


def test_a_spoilt_file_is_named_with_its_remedy(weights: Path) -> None:
    spoilt = weights / "ckpts/ss_flow_img_dit_1_3B_64_bf16.safetensors"
    content = spoilt.read_bytes()
    spoilt.write_bytes(content[:-8])
    settings = GenerationSettings(resolution=512, sparse_structure_steps=1, shape_steps=1, texture_steps=1, seed=0)
    cutout = Cutout(pixels=np.full((32, 32, 4), 255, np.uint8), view=View.FRONT)
    try:
        with pytest.raises(BackendUnavailable) as caught:
            GENERATORS.load("trellis2").generate(Cutouts(cutouts=(cutout,), method="alpha"), settings, SilentRun())
    finally:
        spoilt.write_bytes(content)
    assert caught.value.subject == str(spoilt)
    assert "no whole safetensors file" in caught.value.message
    assert "./forge models pull trellis2" in caught.value.remedy


def test_the_folder_above_serves_too(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = GENERATORS.load("trellis2").identity
    monkeypatch.setenv(FOLDER_VARIABLE, str(weights.parents[1]))
    assert GENERATORS.availability("trellis2").available
    assert GENERATORS.load("trellis2").identity == first


def test_new_weights_are_another_generator(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = GENERATORS.load("trellis2").identity
    assert first == GENERATORS.load("trellis2").identity
    spoilt = weights / "ckpts/tex_dec_next_dc_f16c32_fp16.safetensors"
    content = spoilt.read_bytes()
    spoilt.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        assert GENERATORS.load("trellis2").identity != first
    finally:
        spoilt.write_bytes(content)


@pytest.mark.parametrize(
    ("quality", "road", "steps"), [("fast", "512", 8), ("balanced", "1024_cascade", 12), ("hero", "1536_cascade", 16)]
)
def test_a_quality_chooses_road_and_steps(quality: str, road: str, steps: int) -> None:
    from bridge_server.backends.generator.trellis2 import wish_of

    chosen = default_library().quality(quality)
    settings = GenerationSettings(
        resolution=chosen.resolution,
        sparse_structure_steps=chosen.sparse_structure_steps,
        shape_steps=chosen.shape_steps,
        texture_steps=chosen.texture_steps,
        seed=5,
    )
    wish = wish_of(settings)
    assert (wish.road.value, wish.structure_steps, wish.shape_steps, wish.texture_steps) == (road, steps, steps, steps)
    assert wish.seed == 5
    assert wish.most_tokens == 49_152
