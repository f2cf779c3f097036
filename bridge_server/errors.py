"""Every error the project raises on purpose.

    ForgeError
    ├── InputError            the user's image, mesh, name or folder cannot be used
    ├── PresetError           a preset or quality document is wrong
    ├── PlanError             the stages do not fit together
    ├── BackendUnavailable    a means was asked for that this installation lacks
    ├── StageFailed           a stage could not do its work on this input
    │   └── WorkerDied        the process that ran the stage crashed or was killed
    ├── StoreError            the content store cannot read or write
    │   └── DiskFull
    ├── NotFound              no job, preset, artifact or upload of that name
    ├── Conflict              the request contradicts what is already there
    ├── QuotaExceeded         the user's share of today is spent
    ├── AccessDenied          a token is missing or wrong
    └── ConnectionFailed      a client cannot reach the server
    Cancelled                 not an error: the user asked to stop

Each error says which thing is wrong (``subject``), why (the message) and what to do (``remedy``).
``reason`` is a stable upper-case word for machines; it travels in ``google.rpc.ErrorInfo``.
Errors cross process boundaries by pickling, so every subclass takes the same arguments.
"""

from typing import ClassVar


class ForgeError(Exception):
    """Something is wrong that the user can understand and mend."""

    default_reason: ClassVar[str] = "FORGE_ERROR"

    def __init__(self, message: str, *, subject: str = "", remedy: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.remedy = remedy
        self.reason = reason or self.default_reason

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.subject, self.remedy, self.reason))

    def __str__(self) -> str:
        head = f"{self.subject}: {self.message}" if self.subject else self.message
        return f"{head} {self.remedy}" if self.remedy else head


def _rebuild(kind: type[ForgeError], message: str, subject: str, remedy: str, reason: str) -> ForgeError:
    return kind(message, subject=subject, remedy=remedy, reason=reason)


class InputError(ForgeError):
    """The user's image, mesh, asset name or output folder cannot be used."""

    default_reason = "BAD_INPUT"


class PresetError(ForgeError):
    """A preset or quality document names an unknown stage or field, or a value out of range."""

    default_reason = "BAD_PRESET"


class PlanError(ForgeError):
    """The stages do not fit together: one reads a slot that none before it wrote."""

    default_reason = "BAD_PLAN"


class BackendUnavailable(ForgeError):
    """A backend was asked for that cannot run here; the message is the cause."""

    default_reason = "BACKEND_UNAVAILABLE"


class StageFailed(ForgeError):
    """A stage could not do its work on this input."""

    default_reason = "STAGE_FAILED"


class WorkerDied(StageFailed):
    """The process that ran the stage crashed, or was killed for time or memory."""

    default_reason = "WORKER_DIED"


class StoreError(ForgeError):
    """The content store cannot read or write."""

    default_reason = "STORE_ERROR"


class DiskFull(StoreError):
    """No space left where the store or the package is written."""

    default_reason = "DISK_FULL"


class NotFound(ForgeError):
    """Nothing of that name is there."""

    default_reason = "NOT_FOUND"


class Conflict(ForgeError):
    """The request contradicts what is already there."""

    default_reason = "CONFLICT"


class QuotaExceeded(ForgeError):
    """The user's share of today is spent."""

    default_reason = "QUOTA_EXCEEDED"


class AccessDenied(ForgeError):
    """A token is missing or wrong."""

    default_reason = "ACCESS_DENIED"


class ConnectionFailed(ForgeError):
    """A client cannot reach the server."""

    default_reason = "CONNECTION_FAILED"


class Cancelled(Exception):
    """The user asked to stop; raised by ``Run.checkpoint`` and caught by the runner alone."""
