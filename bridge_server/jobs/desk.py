"""What users do with jobs: create, look at, cancel, retry, delete. Everything is checked before it is queued."""

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bridge_server.errors import Conflict, InputError, QuotaExceeded
from bridge_server.jobs import usage
from bridge_server.jobs.artifacts import INPUT_FOLDER, JobFolders
from bridge_server.jobs.encoding import encode
from bridge_server.jobs.events import Happening, StateChanged
from bridge_server.jobs.job import InputFile, Job, JobSpec, JobState, StageProgress
from bridge_server.jobs.scheduler import Scheduler
from bridge_server.jobs.store import JobStore, new_job_id
from bridge_server.jobs.uploads import Upload, Uploads
from bridge_server.pipeline.bake_recipe import BAKE
from bridge_server.values.image import View

MOST_PHOTOS = 4
MOST_COMPANIONS = 64
PRIORITIES = range(-100, 101)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the check of a new job found out."""

    asset_name: str
    asset_type: str
    preset: str
    stages: tuple[str, ...]
    uses_gpu: bool = False


Admit = Callable[[JobSpec, tuple[InputFile, ...], Path], Admission]
"""Decodes the inputs in a folder and plans the job. Raises ``ForgeError`` for whatever would make it fail at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A user's share of the graphics cards today."""

    limit_gpu_seconds: float
    """0: unlimited."""
    used_gpu_seconds: float
    resets: datetime

    @property
    def spent(self) -> bool:
        """True where no GPU work may start any more today."""
        return 0 < self.limit_gpu_seconds <= self.used_gpu_seconds


class JobDesk:
    """Jobs as their users see them: another user's job is not there."""

    def __init__(
        self,
        store: JobStore,
        folders: JobFolders,
        uploads: Uploads,
        scheduler: Scheduler,
        admit: Admit,
        *,
        gpu_seconds_a_day: float = 0.0,
    ) -> None:
        self._store = store
        self._folders = folders
        self._uploads = uploads
        self._scheduler = scheduler
        self._admit = admit
        self._gpu_seconds_a_day = gpu_seconds_a_day
        self._one_at_a_time = threading.Lock()

    def create(self, user: str, request_id: str, spec: JobSpec, *, validate_only: bool = False) -> Job:
        """Check everything and queue the job. The same request again returns the same job.

        Raises ``InputError``, ``PresetError``, ``PlanError``, ``BackendUnavailable``, ``NotFound`` (an upload),
        ``Conflict`` (a request id used for another job), ``QuotaExceeded``.
        """
        _check_request_id(request_id)
        payload = hashlib.sha256(encode(spec).encode()).hexdigest()
        earlier = self._store.find_request(user, request_id, payload) if request_id else None
        if earlier is not None:
            return earlier
        _check_spec(spec)
        draft = replace(_blank(user, request_id, spec), id=new_job_id())
        try:
            job = self._admitted(draft)
            if validate_only:
                self._folders.remove(draft.id)
                return replace(job, id="")
            created = self._store.create(job, payload)
        except BaseException:
            self._folders.remove(draft.id)
            raise
        if created.id != draft.id:
            self._folders.remove(draft.id)
        self._scheduler.wake()
        return created

    def get(self, user: str, job_id: str) -> Job:
        """The user's job. Raises ``NotFound``."""
        return self._store.get(job_id, user)

    def cancel(self, user: str, job_id: str) -> Job:
        """Ask the job to stop; one that has ended stays as it is."""
        self._store.get(job_id, user)
        return self._scheduler.cancel(job_id)

    def retry(self, user: str, job_id: str) -> Job:
        """Queue a failed or cancelled job again. Raises ``Conflict`` for any other."""
        job = self._store.get(job_id, user)
        self._refuse_spent_quota(job)
        retried = self._store.change(job_id, _queued_again)
        self._scheduler.wake()
        return retried

    def delete(self, user: str, job_id: str) -> None:
        """Remove a job that has ended, with its files. Raises ``Conflict`` where it has not ended."""
        self._store.get(job_id, user)
        self._store.delete(job_id)
        self._folders.remove(job_id)

    def quota(self, user: str) -> Quota:
        """What the user may still spend today."""
        return Quota(
            limit_gpu_seconds=self._gpu_seconds_a_day,
            used_gpu_seconds=self._store.gpu_seconds_today(user),
            resets=usage.next_reset(self._store.now()),
        )

    def _admitted(self, draft: Job) -> Job:
        """The draft with its inputs in its folder and with what the check found out."""
        spec, folder = draft.spec, self._folders.of(draft.id)
        inputs = self._take_inputs(draft.user, spec, folder)
        with self._one_at_a_time:  # a decoded photo may take hundreds of megabytes
            admission = self._admit(spec, inputs, folder)
        job = replace(
            draft,
            inputs=inputs,
            asset_name=admission.asset_name,
            asset_type=admission.asset_type,
            preset=admission.preset,
            uses_gpu=admission.uses_gpu,
            stages=tuple(StageProgress(stage=stage) for stage in admission.stages),
        )
        self._refuse_spent_quota(job)
        return job

    def _take_inputs(self, user: str, spec: JobSpec, folder: Path) -> tuple[InputFile, ...]:
        """Link the uploads into the job's folder, so that it keeps them when they expire."""
        taken = []
        (folder / INPUT_FOLDER).mkdir(parents=True)
        for index, upload_id in enumerate(spec.uploads):
            upload = self._uploads.get(user, upload_id)
            if not upload.complete:
                raise Conflict(
                    f"only {upload.received_bytes} of {upload.announced.size_bytes} bytes have arrived.",
                    subject=f"uploads/{upload_id}",
                    remedy="Finish the upload first.",
                    reason="UPLOAD_INCOMPLETE",
                )
            path = folder / INPUT_FOLDER / str(index)
            _link_or_copy(upload, path)
            taken.append(
                InputFile(
                    upload=upload_id,
                    file_name=upload.announced.file_name,
                    path=path.relative_to(folder).as_posix(),
                    sha256=upload.announced.sha256,
                )
            )
        return tuple(taken)

    def _refuse_spent_quota(self, job: Job) -> None:
        quota = self.quota(job.user)
        if job.uses_gpu and quota.spent:
            raise QuotaExceeded(
                f"{quota.used_gpu_seconds:.0f} of {quota.limit_gpu_seconds:.0f} GPU seconds of today are spent.",
                subject=f"user {job.user}",
                remedy=f"Try again after {quota.resets:%Y-%m-%d %H:%M} UTC, or choose backends on the CPU.",
            )


def _blank(user: str, request_id: str, spec: JobSpec) -> Job:
    return Job(
        id="",
        number=0,
        user=user,
        request_id=request_id,
        spec=spec,
        inputs=(),
        asset_name="",
        asset_type="",
        preset="",
        uses_gpu=False,
        created=datetime.now(UTC),
    )


def _check_request_id(request_id: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.:-]{0,128}", request_id):
        raise InputError("may have at most 128 letters, digits, _ . : -", subject="request id", remedy="Send a UUID.")


def _check_spec(spec: JobSpec) -> None:
    """Refuse what no decoding is needed to refuse."""
    if bool(spec.photos) == (spec.mesh is not None):
        raise InputError("a job takes photos or one mesh file: one of the two.", subject="inputs")
    if len(spec.photos) > MOST_PHOTOS:
        raise InputError(f"{len(spec.photos)} photos; at most {MOST_PHOTOS} are taken.", subject="inputs")
    views = [photo.view for photo in spec.photos]
    doubled = sorted({view for view in views if views.count(view) > 1})
    if doubled:
        raise InputError(f"more than one photo shows the {doubled[0]}.", subject="inputs", remedy="Tag each side once.")
    if views and View.FRONT not in views:
        raise InputError("no photo shows the front.", subject="inputs", remedy="Tag one photo as front.")
    if spec.bake is not None:
        _check_bake(spec)
    companions = (*(spec.mesh.companions if spec.mesh else ()), *(spec.bake.low.companions if spec.bake else ()))
    if len(companions) > MOST_COMPANIONS:
        raise InputError(f"{len(companions)} companion files; at most {MOST_COMPANIONS} are taken.", subject="inputs")
    for companion in companions:
        parts = companion.path.split("/")
        if not companion.path or "\\" in companion.path or ":" in companion.path or {"", ".."} & set(parts):
            raise InputError(
                "is no relative path below the mesh file's folder.",
                subject=f"companion {companion.path[:120]!r}",
                remedy="Give it as the mesh file refers to it, with forward slashes.",
            )
    if spec.priority not in PRIORITIES:
        raise InputError("must be -100 to 100.", subject=f"priority {spec.priority}")


def _check_bake(spec: JobSpec) -> None:
    if spec.mesh is None:
        remedy = "Give the high poly as the job's mesh."
        raise InputError("a bake takes a mesh file to bake from.", subject="inputs", remedy=remedy)
    if spec.preset not in ("", BAKE) or spec.generator:
        remedy = "Leave preset and generator empty, and change the settings of load_low and bake_maps."
        raise InputError("a bake has no preset and no generator.", subject="bake", remedy=remedy)


def _queued_again(job: Job) -> tuple[Happening, ...]:
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        raise Conflict(f"is {job.state}; only a failed or cancelled job can be retried.", subject=f"jobs/{job.id}")
    return (StateChanged(state=JobState.QUEUED, attempt=job.attempt),)


def _link_or_copy(upload: Upload, path: Path) -> None:
    try:
        os.link(upload.path, path)
    except OSError:
        shutil.copyfile(upload.path, path)
