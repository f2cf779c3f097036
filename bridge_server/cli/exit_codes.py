"""What the process's exit code says. ``docs/command_line.md`` shows the same table."""

import enum

from bridge_server import errors


class ExitCode(enum.IntEnum):
    """Exit codes of every ``forge`` command."""

    OK = 0
    """Done."""
    FAILED = 1
    """The job, the tests or a look at the installation failed."""
    USAGE = 2
    """A wrong option, a bad input file, an unknown name, a wrong preset."""
    UNREACHABLE = 3
    """No server answers."""
    CANCELLED = 4
    """The job was cancelled."""
    REFUSED = 5
    """The token is missing or wrong, the quota is spent, or the request contradicts what is there."""
    SETUP_FAILED = 6
    """The bootstrap could not make the environment."""
    CHECKLIST_FAILED = 7
    """The package or mesh file is there, and a rule of its checklist fails."""
    INTERRUPTED = 130
    """Ctrl-C."""


_BY_ERROR: tuple[tuple[type[errors.ForgeError], ExitCode], ...] = (
    (errors.InputError, ExitCode.USAGE),
    (errors.PresetError, ExitCode.USAGE),
    (errors.PlanError, ExitCode.USAGE),
    (errors.NotFound, ExitCode.USAGE),
    (errors.ConnectionFailed, ExitCode.UNREACHABLE),
    (errors.AccessDenied, ExitCode.REFUSED),
    (errors.QuotaExceeded, ExitCode.REFUSED),
    (errors.Conflict, ExitCode.REFUSED),
)


def code_of(error: errors.ForgeError) -> ExitCode:
    """The exit code of a command that ended with this error."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)
