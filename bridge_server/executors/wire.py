"""What the server's process and its workers say to each other: pickled messages, one after the other, over pipes."""

from dataclasses import dataclass

from bridge_server.errors import Cancelled, ForgeError
from bridge_server.pipeline.executor import Outcome


@dataclass(frozen=True, slots=True)
class Hello:
    """First word to a worker."""

    parent_pid: int
    store_root: str


@dataclass(frozen=True, slots=True)
class Perform:
    """Run a task; it is pickled apart, so that a stage that cannot be imported is an answer and no crash."""

    number: int
    task: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop that task at its next checkpoint."""

    number: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A checkpoint was passed."""

    number: int
    fraction: float
    note: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The value is in the store."""

    number: int
    outcome: Outcome
    memory_bytes: int
    """What the worker holds afterwards."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The stage raised."""

    number: int
    error: ForgeError | Cancelled
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker's pipe closed; said by the thread that reads it."""
