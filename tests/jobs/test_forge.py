"""The product's work over toy stages: what is refused at once, what is passed on, what lies in the folder."""

import hashlib
import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge_server.errors import BackendUnavailable, Cancelled, InputError, NotFound, PlanError, PresetError
from bridge_server.executors.inline import InlineExecutor
from bridge_server.jobs import forge as forge_module
from bridge_server.jobs.events import Happening, NoticeRaised, StageFinished, StageStarted
from bridge_server.jobs.forge import Forge, build_forge
from bridge_server.jobs.job import CompanionInput, InputFile, Job, JobSpec, MeshInput, PhotoInput
from bridge_server.jobs.scheduler import Assignment
from bridge_server.package.check import check_package
from bridge_server.pipeline.preset_library import PresetLibrary
from bridge_server.pipeline.store import Store
from bridge_server.settings import Settings
from bridge_server.values.checklist import Verdict
from bridge_server.values.image import View
from tests.jobs.test_queue import draft
from tests.package.forged import forged_asset
from tests.pipeline import toy

PRESET = json.dumps({**json.loads(toy.DOCUMENT), "stages": [{"stage": "decimate"}, {"stage": "place"}]})


class CudaGenerator(toy.ToyGenerator):
    identity = "toy 1 cuda:0"


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    presets, qualities = tmp_path / "presets", tmp_path / "quality"
    presets.mkdir()
    qualities.mkdir()
    (presets / "toy.json").write_text(PRESET)
    (qualities / "balanced.json").write_text(toy.QUALITY.to_json())
    library = PresetLibrary(shipped=presets, user=tmp_path / "user", qualities=qualities, registry=toy.REGISTRY)
    store = Store(tmp_path / "store")
    return Forge(library=library, store=store, executor=InlineExecutor(store), store_bytes=1 << 30)


def png(mode: str = "RGBA", size: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 4), 200, np.uint8)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def put(folder: Path, *contents: tuple[str, bytes]) -> tuple[InputFile, ...]:
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    files = []
    for index, (name, data) in enumerate(contents):
        path = f"inputs/{index}"
        (folder / path).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        files.append(InputFile(upload=f"upload-{index}", file_name=name, path=path, sha256=digest))
    return tuple(files)


def photo_spec(*views: View, **changes: object) -> JobSpec:
    photos = tuple(PhotoInput(upload=f"upload-{index}", view=view) for index, view in enumerate(views or [View.FRONT]))
    return JobSpec(**{"photos": photos, "preset": "toy", **changes})


def work(forge: Forge, folder: Path, job: Job) -> list[Happening]:
    told: list[Happening] = []
    forge.work(Assignment(job=job, folder=folder), told.append, threading.Event())
    return told


def test_admission_names_the_asset_and_the_stages(forge: Forge, tmp_path: Path) -> None:
    inputs = put(tmp_path, ("my cup.png", png()))
    admission = forge.admit(photo_spec(), inputs, tmp_path)
    assert (admission.asset_name, admission.preset, admission.asset_type) == ("MyCup", "toy", "static_mesh")
    assert admission.stages == ("matte", "generate", "decimate", "place")
    assert not admission.uses_gpu


@pytest.mark.parametrize(
    ("changes", "data", "error"),
    [
        ({}, b"this is text", InputError),
        ({}, b"", InputError),
        ({}, png()[:100], InputError),
        ({}, png(size=1), InputError),
        ({"asset_name": "../x"}, png(), InputError),
        ({"preset": "nothing"}, png(), NotFound),
        ({"preset": "../../etc/passwd"}, png(), InputError),
        ({"overrides": ("decimate.triangle_count=-5",)}, png(), PresetError),
        ({"overrides": ("decimate.no_such_field=1",)}, png(), PresetError),
        ({"overrides": ("nonsense",)}, png(), PresetError),
        ({"generator": "missing"}, png(), BackendUnavailable),
        ({"generator": "mesh"}, png(), PlanError),
    ],
)
def test_what_would_fail_is_refused_at_once(
    forge: Forge, tmp_path: Path, changes: dict[str, object], data: bytes, error: type[Exception]
) -> None:
    inputs = put(tmp_path, ("cup.png", data))
    with pytest.raises(error):
        forge.admit(photo_spec(**changes), inputs, tmp_path)


def test_photos_come_front_first_and_a_mesh_brings_its_companions(tmp_path: Path) -> None:
    inputs = put(tmp_path, ("back.png", png()), ("front.png", png()))
    photos = forge_module.read_inputs(photo_spec(View.BACK, View.FRONT), inputs, tmp_path)["photos"]
    assert [(photo.name, photo.view) for photo in photos.photos] == [
        ("front.png", View.FRONT),
        ("back.png", View.BACK),
    ]
    obj = b"mtllib cup.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    inputs = put(tmp_path, ("cup.obj", obj), ("anything.mtl", b"newmtl a\n"))
    companions = (CompanionInput(path="cup.mtl", upload="upload-1"),)
    spec = JobSpec(mesh=MeshInput(upload="upload-0", companions=companions), preset="toy")
    source = forge_module.read_inputs(spec, inputs, tmp_path)["mesh_source"]
    assert (source.name, source.data, source.companions) == ("cup.obj", obj, (("cup.mtl", b"newmtl a\n"),))


def test_the_work_tells_what_happens_and_leaves_a_package(
    forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forge_module, "asset_from", lambda *_: forged_asset())
    folder = tmp_path / "job"
    inputs = put(folder, ("grey.png", png("LA")))
    job = draft(id="abc", spec=photo_spec(), inputs=inputs, asset_name="GoldenCrate", preset="toy")
    told = work(forge, folder, job)
    finished = [each.stage for each in told if isinstance(each, StageFinished)]
    assert finished == ["matte", "generate", "decimate", "place"]
    assert [each.stage for each in told if isinstance(each, StageStarted)] == finished
    notices = {(each.stage, each.notice.code) for each in told if isinstance(each, NoticeRaised)}
    assert {("", "photo_converted"), ("matte", "toy")} <= notices
    assert (folder / "thumbnail.png").is_file()
    package = folder / "package" / "export_GoldenCrate_UE5"
    assert check_package(package).verdict is not Verdict.FAIL
    manifest = json.loads((package / "asset_manifest.json").read_text())
    assert manifest["provenance"]["inputs"] == [{"name": "grey.png", "sha256": inputs[0].sha256, "view": "front"}]
    assert manifest["provenance"]["job_id"] == "abc"
    again = [each for each in work(forge, folder, job) if isinstance(each, StageFinished)]
    assert all(each.cached for each in again)


def test_only_stages_on_a_graphics_card_cost_gpu_seconds(
    forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forge_module, "asset_from", lambda *_: forged_asset())
    monkeypatch.setattr(toy, "ToyGenerator", CudaGenerator)
    inputs = put(tmp_path, ("cup.png", png()))
    assert forge.admit(photo_spec(), inputs, tmp_path).uses_gpu
    told = work(forge, tmp_path, draft(spec=photo_spec(), inputs=inputs, asset_name="GoldenCrate"))
    paid = {each.stage for each in told if isinstance(each, StageFinished) and each.gpu_seconds > 0}
    assert paid == {"generate"}


def test_a_cancelled_run_leaves_no_package(forge: Forge, tmp_path: Path) -> None:
    inputs = put(tmp_path, ("cup.png", png()))
    cancel = threading.Event()
    cancel.set()
    assignment = Assignment(job=draft(spec=photo_spec(), inputs=inputs), folder=tmp_path)
    with pytest.raises(Cancelled):
        forge.work(assignment, lambda _: None, cancel)
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_the_settings_choose_the_executor(forge: Forge, tmp_path: Path, executor: str) -> None:
    built = build_forge(Settings(data=tmp_path, executor=executor), forge.library)
    assert built.store.root == tmp_path / "store"
    built.close()
