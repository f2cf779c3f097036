"""The work of a job: inputs, preset, plan, run, package."""

import importlib.metadata
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bridge_server.backends.matting.base import OWN_ALPHA
from bridge_server.errors import PlanError
from bridge_server.executors.inline import InlineExecutor
from bridge_server.executors.processes import ProcessExecutor
from bridge_server.jobs.artifacts import PACKAGE_FOLDER, THUMBNAIL
from bridge_server.jobs.desk import Admission
from bridge_server.jobs.events import Happening, NoticeRaised, StageFinished, StageProgressed, StageStarted
from bridge_server.jobs.job import InputFile, Job, JobSpec, MeshInput, Outcome
from bridge_server.jobs.scheduler import Assignment
from bridge_server.package.assemble import write_contents, write_package
from bridge_server.package.map_set import MapSet, contents
from bridge_server.package.record import PackageRecord
from bridge_server.pipeline import events
from bridge_server.pipeline.bake_recipe import BAKE_PRESET
from bridge_server.pipeline.executor import Executor
from bridge_server.pipeline.inputs import decode_photo, read_mesh_source
from bridge_server.pipeline.plan import Plan, make_plan
from bridge_server.pipeline.preset import Preset
from bridge_server.pipeline.preset_library import PresetLibrary
from bridge_server.pipeline.recipe import Recipe
from bridge_server.pipeline.record import RunRecord
from bridge_server.pipeline.runner import Runner, asset_from
from bridge_server.pipeline.store import Store
from bridge_server.settings import GIB, MIB, Settings
from bridge_server.values.asset import Asset
from bridge_server.values.base import Notice, Value
from bridge_server.values.checklist import Checklist
from bridge_server.values.image import Photos, View
from bridge_server.values.manifest import FallbackEntry, InputEntry, StageEntry
from bridge_server.values.naming import check_asset_name, suggest_asset_name
from bridge_server.values.source import MeshSource

_TOLD_VERSIONS = ("open3dforge", "numpy", "scipy", "trimesh", "pymeshlab", "xatlas", "coacd", "manifold3d", "warp-lang")
DEFAULT_KEPT_BYTES = 2 * GIB
_GPU_MARK = "cuda"
"""Backends that compute on a graphics card say so in their identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forge:
    """Admits jobs and does them, with the stages and backends of this installation."""

    library: PresetLibrary
    store: Store
    executor: Executor
    store_bytes: int
    """How large the content store may grow; what was unused for longest goes first."""

    def admit(self, spec: JobSpec, inputs: tuple[InputFile, ...], folder: Path) -> Admission:
        """Decode the inputs and plan the job, so that whatever would fail at once is refused at once."""
        values = read_inputs(spec, inputs, folder)
        name = check_asset_name(spec.asset_name) if spec.asset_name else suggest_asset_name(_named_by(spec, inputs))
        preset = self._preset(spec)
        plan = self._plan(preset, name, values)
        return Admission(
            asset_name=name,
            asset_type=preset.asset_type if spec.bake is None else "",
            preset=preset.name,
            stages=plan.stage_names,
            uses_gpu=bool(_gpu_stages(plan)),
        )

    def work(self, assignment: Assignment, on_event: Callable[[Happening], None], cancel: threading.Event) -> Outcome:
        """Run the plan and write the package and the thumbnail into the job's folder."""
        job, folder = assignment.job, assignment.folder
        inputs = read_inputs(job.spec, job.inputs, folder)
        preset = self._preset(job.spec)
        plan = self._plan(preset, job.asset_name, inputs)
        for told in plan.notices:
            on_event(NoticeRaised(stage=told.stage, notice=told.notice))
        for value in inputs.values():
            for notice in _input_notices(value):
                on_event(NoticeRaised(stage="", notice=notice))
        gpu_stages = _gpu_stages(plan)
        record = Runner(self.store, self.executor).run(
            plan, inputs, lambda event: _pass_on(event, gpu_stages, on_event), cancel
        )
        asset = asset_from(record, self.store)
        if job.spec.bake is not None:
            _write_maps(job, asset, record, folder / PACKAGE_FOLDER)
            self.store.prune(self.store_bytes, pinned=record.digests)
            return Outcome()
        # The preset may say "auto": the high poly knows which generator made it.
        generator = asset.high_poly.source if asset.high_poly is not None else preset.generator
        write_package(asset, _package_record(job, preset, record, generator), folder / PACKAGE_FOLDER)
        outcome = Outcome(checklist=asset.checklist or Checklist(checks=()), thumbnail=_write_thumbnail(asset, folder))
        self.store.prune(self.store_bytes, pinned=record.digests)
        return outcome

    def close(self) -> None:
        """End the worker processes."""
        self.executor.close()

    def _preset(self, spec: JobSpec) -> Preset:
        preset = self.library.load(spec.preset) if spec.bake is None else BAKE_PRESET
        generator = [f"generator={spec.generator}"] if spec.generator else []
        return preset.with_overrides([*generator, *spec.overrides], registry=self.library.registry)

    def _plan(self, preset: Preset, asset_name: str, values: Mapping[str, Value]) -> Plan:
        quality, registry = self.library.quality(preset.quality), self.library.registry
        if _all_cut_out(values):
            registry = replace(registry, kinds={**registry.kinds, "matting": OWN_ALPHA})
            preset = replace(
                preset, backends={kind: name for kind, name in preset.backends.items() if kind != "matting"}
            )
        recipe = Recipe(preset=preset, quality=quality, asset_name=asset_name)
        return make_plan(recipe, inputs=set(values), registry=registry)


def build_forge(settings: Settings, library: PresetLibrary) -> Forge:
    """The product's work with the executor that the settings name."""
    store = Store(settings.data / "store")
    executor: Executor = InlineExecutor(store)
    if settings.executor == "processes":
        workers = settings.workers or settings.concurrent_jobs
        kept_bytes = settings.memory_budget_mib * MIB // workers or DEFAULT_KEPT_BYTES
        executor = ProcessExecutor(
            store, workers=workers, grace_s=settings.cancel_grace_s, memory_limit_bytes=kept_bytes
        )
    return Forge(library=library, store=store, executor=executor, store_bytes=settings.store_gib * GIB)


def read_inputs(spec: JobSpec, inputs: tuple[InputFile, ...], folder: Path) -> dict[str, Value]:
    """The job's input slots, decoded from the files in its folder. Raises ``InputError``."""
    data = [(folder / file.path).read_bytes() for file in inputs]
    if spec.mesh is not None:
        count = 1 + len(spec.mesh.companions)
        found: dict[str, Value] = {"mesh_source": _mesh_source(spec.mesh, inputs[:count], data[:count])}
        if spec.bake is not None:
            found["low_source"] = _mesh_source(spec.bake.low, inputs[count:], data[count:])
        return found
    photos = [
        decode_photo(content, file.file_name, photo.view)
        for content, file, photo in zip(data, inputs, spec.photos, strict=True)
    ]
    return {"photos": Photos(photos=tuple(sorted(photos, key=lambda photo: list(View).index(photo.view))))}


def _mesh_source(mesh: MeshInput, files: tuple[InputFile, ...], data: list[bytes]) -> MeshSource:
    companions = tuple((c.path, content) for c, content in zip(mesh.companions, data[1:], strict=True))
    return read_mesh_source(data[0], files[0].file_name, companions)


def _named_by(spec: JobSpec, inputs: tuple[InputFile, ...]) -> str:
    """The file whose name becomes that of the asset: the first one, or the low poly of a bake."""
    low = spec.bake.low.upload if spec.bake is not None else inputs[0].upload
    return next(file.file_name for file in inputs if file.upload == low)


def _input_notices(value: Value) -> tuple[Notice, ...]:
    inner = value.photos if isinstance(value, Photos) else ()
    return (*value.notices, *(notice for photo in inner for notice in photo.notices))


def _all_cut_out(values: Mapping[str, Value]) -> bool:
    """Whether every photo brings its own matte, so that no background has to be removed."""
    photos = values.get("photos")
    return isinstance(photos, Photos) and all(photo.has_alpha for photo in photos.photos)


def _gpu_stages(plan: Plan) -> frozenset[str]:
    return frozenset(
        step.stage.name
        for step in plan.steps
        if any(_GPU_MARK in backend.identity.lower() for backend in step.backends)
    )


def _pass_on(event: events.Event, gpu_stages: frozenset[str], on_event: Callable[[Happening], None]) -> None:
    """A run's event in the words of the job queue; the run's end is told by the job's state."""
    match event:
        case events.StageStarted():
            on_event(StageStarted(stage=event.stage, index=event.index, count=event.count))
        case events.StageProgress():
            on_event(StageProgressed(stage=event.stage, fraction=event.fraction, note=event.note))
        case events.StageFinished():
            gpu_seconds = event.seconds if event.stage in gpu_stages and not event.cached else 0.0
            for notice in event.notices:
                on_event(NoticeRaised(stage=event.stage, notice=notice))
            on_event(
                StageFinished(stage=event.stage, seconds=event.seconds, cached=event.cached, gpu_seconds=gpu_seconds)
            )


def _package_record(job: Job, preset: Preset, record: RunRecord, generator: str) -> PackageRecord:
    views = [photo.view.value for photo in job.spec.photos] or [""] * len(job.inputs)
    return PackageRecord(
        created=job.created,
        job_id=job.id,
        inputs=tuple(
            InputEntry(name=file.file_name, sha256=file.sha256, view=view)
            for file, view in zip(job.inputs, views, strict=True)
        ),
        preset=preset.name,
        preset_document=preset.to_json(),
        nanite=preset.nanite,
        generator=generator,
        backends=record.backends,
        fallbacks=tuple(
            FallbackEntry(stage=told.stage, code=told.notice.code, message=told.notice.message)
            for told in record.fallbacks
        ),
        versions=_versions(),
        stages=tuple(
            StageEntry(name=stage.stage, seconds=stage.seconds, cached=stage.cached) for stage in record.stages
        ),
    )


def _write_maps(job: Job, asset: Asset, record: RunRecord, folder: Path) -> None:
    if asset.mesh_source is None or asset.low_source is None or asset.unwrapped is None or asset.baked_maps is None:
        raise PlanError("the set of maps needs both meshes and the maps.", subject="package")
    maps = MapSet(
        asset=job.asset_name,
        high=asset.mesh_source.name,
        low=asset.low_source.name,
        unwrapped=asset.unwrapped,
        baked=asset.baked_maps,
        notices=tuple(notice for stage in record.stages for notice in stage.notices),
        seconds=sum(stage.seconds for stage in record.stages),
    )
    write_contents(maps.folder_name, contents(maps), folder)


def _versions() -> dict[str, str]:
    found = {}
    for package in _TOLD_VERSIONS:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _write_thumbnail(asset: Asset, folder: Path) -> bool:
    if asset.pictures is None:
        return False
    (folder / THUMBNAIL).write_bytes(asset.pictures.thumbnail_png)
    return True
