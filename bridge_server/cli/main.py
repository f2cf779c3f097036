"""The ``forge`` command: all commands, and the one place where errors become messages and exit codes."""

import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from bridge_server.cli import models, output
from bridge_server.cli.exit_codes import ExitCode, code_of
from bridge_server.errors import ForgeError, InputError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A photo, or a raw mesh, becomes a finished Unreal Engine asset.",
    epilog="Start with: ./forge demo",
)
app.add_typer(models.app, name="models")


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code and never raises for what a user can mend."""
    as_json = "--json" in arguments
    try:
        code = app(args=list(arguments), prog_name="forge", standalone_mode=False)
        return int(code or ExitCode.OK)
    except ForgeError as error:
        output.show_error(error, as_json=as_json)
        return code_of(error)
    except TyperException as error:
        return _usage(error.format_message(), as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        output.remark("forge: interrupted.")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return ExitCode.FAILED


def _usage(message: str, *, as_json: bool) -> int:
    """A wrong command line. The message is empty where help was shown for want of arguments."""
    if message:
        error = InputError(message, remedy="See ./forge --help.", reason="USAGE")
        output.show_error(error, as_json=as_json)
    return ExitCode.USAGE


def main() -> None:
    """Entry point of the installed command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
