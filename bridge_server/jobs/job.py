"""A job as a value: what was asked for, how far it is, how it ended."""

import enum
from dataclasses import dataclass, field
from datetime import datetime

from bridge_server.values.base import Notice
from bridge_server.values.checklist import Checklist
from bridge_server.values.image import View


class JobState(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True for the three states that only a retry leaves."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class StageState(enum.StrEnum):
    """Where one stage of a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoInput:
    """One picture: its upload's id and the side it shows."""

    upload: str
    view: View


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionInput:
    """A file that the mesh file refers to by ``path``."""

    path: str
    upload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshInput:
    """A mesh file: its upload's id, and the uploads of what it refers to."""

    upload: str
    companions: tuple[CompanionInput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeInput:
    """What a job for maps takes beside its mesh, which is the high poly."""

    low: MeshInput


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What the user asked for."""

    photos: tuple[PhotoInput, ...] = ()
    mesh: MeshInput | None = None
    bake: BakeInput | None = None
    """Where it is there, the job makes maps of the mesh for a low poly, and no asset."""
    preset: str = ""
    asset_name: str = ""
    overrides: tuple[str, ...] = ()
    """``stage.field=value``, as typed."""
    generator: str = ""
    priority: int = 0

    @property
    def uploads(self) -> tuple[str, ...]:
        """Ids of every upload that the job needs, in the order of the inputs."""
        meshes = [mesh for mesh in (self.mesh, self.bake.low if self.bake else None) if mesh is not None]
        files = (upload for mesh in meshes for upload in (mesh.upload, *(c.upload for c in mesh.companions)))
        return (*(photo.upload for photo in self.photos), *files)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One input as the job keeps it, in its own folder."""

    upload: str
    file_name: str
    """As the user calls it."""
    path: str
    """Relative to the job's folder."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgress:
    """How far one stage is."""

    stage: str
    state: StageState = StageState.PENDING
    fraction: float = 0.0
    note: str = ""
    seconds: float = 0.0
    cached: bool = False
    started: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed, in the words of the ``ForgeError`` that ended it."""

    code: str
    message: str
    subject: str = ""
    remedy: str = ""
    stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNotice:
    """A notice and the stage that raised it; empty for the job itself."""

    stage: str
    notice: Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as it stands."""

    id: str
    number: int
    """Rises with every job; newer jobs have higher ones."""
    user: str
    request_id: str
    spec: JobSpec
    inputs: tuple[InputFile, ...]
    asset_name: str
    asset_type: str
    """``static_mesh`` or ``skeletal_mesh``; empty where no asset comes out, as of a bake."""
    preset: str
    uses_gpu: bool
    created: datetime
    state: JobState = JobState.QUEUED
    stages: tuple[StageProgress, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    attempt: int = 0
    crashes: int = 0
    """How many times the server stopped without warning in the middle of this job."""
    cancel_requested: bool = False
    gpu_seconds: float = 0.0
    error: JobError | None = None
    notices: tuple[JobNotice, ...] = ()
    checklist: Checklist | None = None
    thumbnail: bool = False
    last_sequence: int = 0

    @property
    def running_stage(self) -> str:
        """The stage at work; empty where none is."""
        return next((stage.stage for stage in self.stages if stage.state is StageState.RUNNING), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a job's work leaves behind beside its files."""

    checklist: Checklist = field(default_factory=lambda: Checklist(checks=()))
    thumbnail: bool = False
    """True where ``thumbnail.png`` lies in the job's folder."""
