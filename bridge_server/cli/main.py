"""The ``forge`` command: all commands, and the one place where errors become messages and exit codes."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import typer
from typer.exceptions import TyperException

from bridge_server.cli import (
    bake,
    check,
    demo,
    development,
    doctor,
    editors,
    jobs,
    models,
    output,
    plugin,
    presets,
    serve,
    submit,
)
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


@dataclass(frozen=True, slots=True)
class _Command:
    function: Callable[..., None]
    example: str
    settings: dict[str, bool] | None = None


COMMANDS = {
    "demo": _Command(demo.demo, "./forge demo --set decimate.triangle_count=5000"),
    "serve": _Command(serve.serve, "./forge serve --port 50551"),
    "submit": _Command(submit.submit, "./forge submit cup.png --view back=cup_back.png --name Cup --out packages"),
    "jobs": _Command(jobs.jobs, "./forge jobs --state running"),
    "watch": _Command(jobs.watch, "./forge watch JOB --out packages"),
    "cancel": _Command(jobs.cancel, "./forge cancel JOB"),
    "retry": _Command(jobs.retry, "./forge retry JOB --wait"),
    "download": _Command(jobs.download, "./forge download JOB --out packages"),
    "bake": _Command(bake.bake, "./forge bake statue.ply statue_low.glb --maps normal,ao --size 2048 --out maps"),
    "check": _Command(check.check, "./forge check out/export_Coffee_UE5.zip"),
    "editors": _Command(editors.editors, "./forge editors"),
    "import": _Command(
        editors.import_package, "./forge import out/export_Coffee_UE5 --editor MyProject --destination /Game/Props"
    ),
    "exec": _Command(editors.execute, "./forge exec 'unreal.SystemLibrary.get_engine_version()'"),
    "doctor": _Command(doctor.doctor, "./forge doctor"),
    "test": _Command(development.run_tests, "./forge test -m 'not slow' tests/values", development.PASS_THROUGH),
    "bench": _Command(development.run_benchmark, "./forge bench", development.PASS_THROUGH),
}
for _name, _command in COMMANDS.items():
    app.command(_name, epilog=f"Example: {_command.example}", context_settings=_command.settings)(_command.function)
GROUPS = {"presets": presets.app, "models": models.app, "plugin": plugin.app}
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code and never raises for what a user can mend."""
    as_json = "--json" in arguments
    try:
        # Not by calling the app, which takes an interrupt for an exit without a word.
        command = typer.main.get_command(app)
        with command.make_context("forge", list(arguments)) as context:
            return int(command.invoke(context) or ExitCode.OK)
    except typer.Exit as leaving:
        return leaving.exit_code
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
