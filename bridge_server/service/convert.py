"""Values to messages and back; the only place that knows both."""

import json
import mimetypes
from collections.abc import Mapping
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from open3dforge.v1 import catalogue_pb2, jobs_pb2, server_pb2, transfers_pb2

from bridge_server.errors import InputError
from bridge_server.jobs import events, job
from bridge_server.jobs.artifacts import Artifact
from bridge_server.jobs.desk import Quota
from bridge_server.jobs.estimate import eta_seconds, fraction_of
from bridge_server.jobs.uploads import Announcement, Upload
from bridge_server.pipeline.describe import StageDescription
from bridge_server.pipeline.fields import FieldDescription
from bridge_server.pipeline.preset_library import PresetEntry
from bridge_server.service.devices import Device
from bridge_server.service.diagnostics import Finding, Health, SeenBackend
from bridge_server.service.names import bare
from bridge_server.values.base import Notice, Severity
from bridge_server.values.checklist import Checklist, Verdict
from bridge_server.values.image import View

_STATES = {
    job.JobState.QUEUED: jobs_pb2.JOB_STATE_QUEUED,
    job.JobState.RUNNING: jobs_pb2.JOB_STATE_RUNNING,
    job.JobState.SUCCEEDED: jobs_pb2.JOB_STATE_SUCCEEDED,
    job.JobState.FAILED: jobs_pb2.JOB_STATE_FAILED,
    job.JobState.CANCELLED: jobs_pb2.JOB_STATE_CANCELLED,
}
_STAGE_STATES = {
    job.StageState.PENDING: jobs_pb2.STAGE_STATE_PENDING,
    job.StageState.RUNNING: jobs_pb2.STAGE_STATE_RUNNING,
    job.StageState.FINISHED: jobs_pb2.STAGE_STATE_FINISHED,
    job.StageState.FAILED: jobs_pb2.STAGE_STATE_FAILED,
}
_VIEWS = {
    View.FRONT: jobs_pb2.VIEW_FRONT,
    View.BACK: jobs_pb2.VIEW_BACK,
    View.LEFT: jobs_pb2.VIEW_LEFT,
    View.RIGHT: jobs_pb2.VIEW_RIGHT,
}
_SEVERITIES = {Severity.INFO: jobs_pb2.SEVERITY_INFO, Severity.WARNING: jobs_pb2.SEVERITY_WARNING}
_VERDICTS = {
    Verdict.PASS: jobs_pb2.VERDICT_PASS,
    Verdict.SKIPPED: jobs_pb2.VERDICT_SKIPPED,
    Verdict.WARN: jobs_pb2.VERDICT_WARN,
    Verdict.FAIL: jobs_pb2.VERDICT_FAIL,
}
_ASSET_TYPES = {
    "static_mesh": jobs_pb2.ASSET_TYPE_STATIC_MESH,
    "skeletal_mesh": jobs_pb2.ASSET_TYPE_SKELETAL_MESH,
}
_SETTING_TYPES = {
    "int": catalogue_pb2.SETTING_TYPE_INTEGER,
    "float": catalogue_pb2.SETTING_TYPE_NUMBER,
    "bool": catalogue_pb2.SETTING_TYPE_BOOLEAN,
    "str": catalogue_pb2.SETTING_TYPE_TEXT,
    "enum": catalogue_pb2.SETTING_TYPE_TEXT,
}
_HEALTH = {
    Health.OK: server_pb2.DIAGNOSTIC_STATUS_OK,
    Health.WARNING: server_pb2.DIAGNOSTIC_STATUS_WARNING,
    Health.ERROR: server_pb2.DIAGNOSTIC_STATUS_ERROR,
}
_MEDIA_TYPES = {".glb": "model/gltf-binary", ".webp": "image/webp", ".fbx": "application/octet-stream"}


def spec_value(message: jobs_pb2.JobSpec) -> job.JobSpec:
    """What the user asked for. Raises ``InputError``."""
    views = {number: view for view, number in _VIEWS.items()} | {jobs_pb2.VIEW_UNSPECIFIED: View.FRONT}
    photos = []
    for photo in message.photos:
        if photo.view not in views:
            raise InputError("is no view that this server knows.", subject=f"view {photo.view}")
        photos.append(job.PhotoInput(upload=bare(photo.upload, "uploads"), view=views[photo.view]))
    for change in message.overrides:
        if "=" in change.setting:
            raise InputError("must not hold '='.", subject=f"setting {change.setting[:80]!r}")
    return job.JobSpec(
        photos=tuple(photos),
        mesh=_mesh_value(message.mesh) if message.HasField("mesh") else None,
        bake=job.BakeInput(low=_mesh_value(message.bake.low)) if message.HasField("bake") else None,
        preset="" if message.HasField("bake") and not message.preset else bare(message.preset, "presets"),
        asset_name=message.asset_name,
        overrides=tuple(f"{change.setting}={change.value}" for change in message.overrides),
        generator=message.generator,
        priority=message.priority,
    )


def _mesh_value(message: jobs_pb2.MeshInput) -> job.MeshInput:
    companions = tuple(
        job.CompanionInput(path=companion.path, upload=bare(companion.upload, "uploads"))
        for companion in message.companions
    )
    return job.MeshInput(upload=bare(message.upload, "uploads"), companions=companions)


def state_value(number: int) -> job.JobState:
    """The state behind a number. Raises ``InputError``."""
    for state, known in _STATES.items():
        if known == number:
            return state
    raise InputError("is no state that this server knows.", subject=f"state {number}")


def job_message(value: job.Job, usual_s: Mapping[str, float], now: datetime) -> jobs_pb2.Job:
    """A job as clients see it; ``usual_s`` is how long its stages usually take."""
    return jobs_pb2.Job(
        name=f"jobs/{value.id}" if value.id else "",
        spec=_spec_message(value.spec),
        asset_name=value.asset_name,
        state=_STATES[value.state],
        preset=value.preset,
        asset_type=_ASSET_TYPES.get(value.asset_type, jobs_pb2.ASSET_TYPE_UNSPECIFIED),
        stages=[_stage_message(stage, now) for stage in value.stages],
        fraction=fraction_of(value, usual_s),
        eta_seconds=eta_seconds(value, usual_s, now),
        thumbnail_available=value.thumbnail,
        error=_error_message(value.error),
        notices=[_notice_message(told.stage, told.notice) for told in value.notices],
        checklist=_checklist_message(value.checklist) if value.state is job.JobState.SUCCEEDED else None,
        create_time=_timestamp(value.created),
        start_time=_timestamp(value.started),
        end_time=_timestamp(value.ended),
        last_sequence=value.last_sequence,
        attempt=value.attempt,
        gpu_seconds=value.gpu_seconds,
        user=value.user,
        cancel_requested=value.cancel_requested,
    )


def _mesh_message(value: job.MeshInput) -> jobs_pb2.MeshInput:
    companions = [
        jobs_pb2.MeshCompanion(path=companion.path, upload=f"uploads/{companion.upload}")
        for companion in value.companions
    ]
    return jobs_pb2.MeshInput(upload=f"uploads/{value.upload}", companions=companions)


def _spec_message(value: job.JobSpec) -> jobs_pb2.JobSpec:
    changes = [change.partition("=") for change in value.overrides]
    return jobs_pb2.JobSpec(
        photos=[
            jobs_pb2.PhotoInput(upload=f"uploads/{photo.upload}", view=_VIEWS[photo.view]) for photo in value.photos
        ],
        mesh=_mesh_message(value.mesh) if value.mesh is not None else None,
        bake=jobs_pb2.BakeInput(low=_mesh_message(value.bake.low)) if value.bake is not None else None,
        preset=f"presets/{value.preset}" if value.preset else "",
        asset_name=value.asset_name,
        overrides=[jobs_pb2.SettingOverride(setting=setting, value=text) for setting, _, text in changes],
        generator=value.generator,
        priority=value.priority,
    )


def _stage_message(value: job.StageProgress, now: datetime) -> jobs_pb2.StageProgress:
    seconds = value.seconds
    if value.state is job.StageState.RUNNING and value.started is not None:
        seconds = max(0.0, (now - value.started).total_seconds())
    return jobs_pb2.StageProgress(
        stage=value.stage,
        state=_STAGE_STATES[value.state],
        fraction=value.fraction,
        note=value.note,
        seconds=seconds,
        cached=value.cached,
    )


def event_message(value: events.JobEvent) -> jobs_pb2.JobEvent:
    """An event as watchers get it."""
    message = jobs_pb2.JobEvent(sequence=value.sequence, time=_timestamp(value.time))
    match value.happening:
        case events.StateChanged(state=state, attempt=attempt, error=error):
            changed = jobs_pb2.StateChanged(state=_STATES[state], attempt=attempt, error=_error_message(error))
            message.state_changed.CopyFrom(changed)
        case events.StageStarted(stage=stage, index=index, count=count):
            message.stage_started.CopyFrom(jobs_pb2.StageStarted(stage=stage, index=index, count=count))
        case events.StageProgressed(stage=stage, fraction=fraction, note=note):
            message.stage_progressed.CopyFrom(jobs_pb2.StageProgressed(stage=stage, fraction=fraction, note=note))
        case events.StageFinished(stage=stage, seconds=seconds, cached=cached):
            message.stage_finished.CopyFrom(jobs_pb2.StageFinished(stage=stage, seconds=seconds, cached=cached))
        case events.NoticeRaised(stage=stage, notice=notice):
            message.notice.CopyFrom(_notice_message(stage, notice))
        case events.JobResumed(message=text, crashes=crashes):
            message.job_resumed.CopyFrom(jobs_pb2.JobResumed(message=text, crashes=crashes))
    return message


def _notice_message(stage: str, notice: Notice) -> jobs_pb2.Notice:
    return jobs_pb2.Notice(
        code=notice.code,
        message=notice.message,
        remedy=notice.remedy,
        severity=_SEVERITIES[notice.severity],
        stage=stage,
    )


def _error_message(error: job.JobError | None) -> jobs_pb2.JobError | None:
    if error is None:
        return None
    return jobs_pb2.JobError(
        code=error.code, message=error.message, subject=error.subject, remedy=error.remedy, stage=error.stage
    )


def _checklist_message(checklist: Checklist | None) -> jobs_pb2.ChecklistSummary | None:
    if checklist is None:
        return None
    items = [
        jobs_pb2.ChecklistItem(
            rule=check.rule,
            title=check.title,
            verdict=_VERDICTS[check.verdict],
            figure=check.figure,
            limit=check.limit,
            remedy=check.remedy,
        )
        for check in checklist.checks
    ]
    return jobs_pb2.ChecklistSummary(verdict=_VERDICTS[checklist.verdict], items=items)


def announcement_value(header: transfers_pb2.UploadHeader) -> Announcement:
    """What a client says before it sends a file."""
    return Announcement(
        upload_id=header.upload_id,
        file_name=header.file_name,
        size_bytes=header.size_bytes,
        sha256=header.sha256,
    )


def upload_message(value: Upload) -> transfers_pb2.Upload:
    """An upload as it stands."""
    return transfers_pb2.Upload(
        name=f"uploads/{value.announced.upload_id}",
        file_name=value.announced.file_name,
        size_bytes=value.announced.size_bytes,
        sha256=value.announced.sha256,
        received_bytes=value.received_bytes,
        complete=value.complete,
        expire_time=_timestamp(value.expires),
    )


def artifact_message(job_id: str, value: Artifact) -> transfers_pb2.Artifact:
    """A file of a job."""
    ending = "." + value.path.rpartition(".")[2].lower()
    media_type = _MEDIA_TYPES.get(ending) or mimetypes.guess_type(value.path)[0] or "application/octet-stream"
    return transfers_pb2.Artifact(
        name=f"jobs/{job_id}/artifacts/{value.path}",
        path=value.path,
        size_bytes=value.size_bytes,
        sha256=value.sha256,
        media_type=media_type,
    )


def preset_message(entry: PresetEntry) -> catalogue_pb2.Preset:
    """A preset, or the name of one whose document is wrong."""
    if entry.preset is None:
        return catalogue_pb2.Preset(name=f"presets/{entry.name}", shipped=entry.shipped, problem=entry.problem)
    preset = entry.preset
    return catalogue_pb2.Preset(
        name=f"presets/{preset.name}",
        description=preset.description,
        asset_type=_ASSET_TYPES.get(preset.asset_type, jobs_pb2.ASSET_TYPE_UNSPECIFIED),
        quality=preset.quality,
        generator=preset.generator,
        shipped=entry.shipped,
        document=preset.to_json(),
    )


def stage_description_message(value: StageDescription) -> catalogue_pb2.StageDescription:
    """A stage with its settings."""
    return catalogue_pb2.StageDescription(
        stage=value.name,
        description=value.doc,
        settings=[_setting_message(field) for field in value.fields],
        backend_kinds=value.backends,
        reads=(*value.reads, *value.optional_reads),
        writes=value.writes,
    )


def _setting_message(value: FieldDescription) -> catalogue_pb2.SettingDescription:
    return catalogue_pb2.SettingDescription(
        field=value.name,
        type=_SETTING_TYPES.get(value.type, catalogue_pb2.SETTING_TYPE_JSON),
        default_json=json.dumps(value.default),
        low=value.low,
        high=value.high,
        choices=value.choices,
        description=value.doc,
    )


def backend_message(value: SeenBackend) -> catalogue_pb2.Backend:
    """An implementation and whether it can run here."""
    return catalogue_pb2.Backend(
        kind=value.kind,
        backend=value.name,
        available=value.availability.available,
        detail=value.availability.detail,
        remedy=value.availability.remedy,
        chosen=value.chosen,
    )


def device_message(value: Device) -> server_pb2.Device:
    """Something that computes."""
    return server_pb2.Device(device=value.device, model=value.model, memory_bytes=value.memory_bytes, cores=value.cores)


def finding_message(value: Finding) -> server_pb2.Diagnostic:
    """One thing that was looked at."""
    return server_pb2.Diagnostic(
        subject=value.subject, status=_HEALTH[value.health], detail=value.detail, remedy=value.remedy
    )


def quota_message(user: str, value: Quota) -> server_pb2.Quota:
    """The caller's share of the graphics cards today."""
    return server_pb2.Quota(
        limited=value.limit_gpu_seconds > 0,
        limit_gpu_seconds=value.limit_gpu_seconds,
        used_gpu_seconds=value.used_gpu_seconds,
        reset_time=_timestamp(value.resets),
        user=user,
    )


def timestamp(value: datetime) -> Timestamp:
    """A time of the wire."""
    message = Timestamp()
    message.FromDatetime(value)
    return message


def _timestamp(value: datetime | None) -> Timestamp | None:
    return None if value is None else timestamp(value)
