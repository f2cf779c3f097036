"""What travels between the server side of the plugin and the rest; free of grpc, so importing it costs nothing."""

from dataclasses import dataclass

from open3dforge_editor.job_list import Phase


class ServerError(Exception):
    """The server refused, or cannot be reached; the message says what to do."""

    def __init__(self, message: str, *, retriable: bool = False, reason: str = "") -> None:
        super().__init__(message)
        self.retriable = retriable
        self.reason = reason


class Stopped(Exception):
    """The editor is closing, or the user cancelled, while work was under way."""


@dataclass(frozen=True)
class JobStatus:
    """A job as the server sees it now."""

    phase: Phase
    stage: str
    fraction: float
    eta_s: float | None
    message: str
    has_thumbnail: bool
    last_sequence: int


@dataclass(frozen=True)
class PresetChoice:
    """A preset to pick from."""

    name: str
    description: str


@dataclass(frozen=True)
class ServerSummary:
    """What the connection test shows."""

    version: str
    devices: str
    queued_jobs: int
    running_jobs: int
    quota: str
