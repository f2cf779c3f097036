"""Makes ``.venv`` with everything the command line needs, then hands over to it. Standard library only.

Run by ``./forge`` and ``forge.cmd``. Once set up, a start costs a few file reads. Everything said here goes to
standard error, so that ``--json`` output stays clean.
"""

import os
import subprocess
import sys
from pathlib import Path

from environment import Environment, SetupFailed
from lock import exclusive

ROOT = Path(__file__).resolve().parent.parent
EXTRAS_OF_COMMAND = {"test": frozenset({"dev"}), "bench": frozenset({"dev"})}
SETUP_FAILED = 6
"""Exit code; ``bridge_server.cli.exit_codes`` lists it among the others."""
INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Set up where needed, then run the command line with the same arguments; returns its exit code."""
    environment = Environment(ROOT)
    extras = EXTRAS_OF_COMMAND.get(next((word for word in arguments if not word.startswith("-")), ""), frozenset())
    try:
        if not environment.ready(extras):
            set_up(environment, extras)
    except SetupFailed as error:
        print(f"forge: {error}", file=sys.stderr)
        return SETUP_FAILED
    except OSError as error:
        print(f"forge: cannot write the set-up: {error}. Is {ROOT} writable, with room for 2 GB?", file=sys.stderr)
        return SETUP_FAILED
    except KeyboardInterrupt:
        print("\nforge: set-up interrupted; run the same again to go on.", file=sys.stderr)
        return INTERRUPTED
    return hand_over(environment, arguments)


def set_up(environment: Environment, extras: frozenset[str]) -> None:
    """Install under the lock; a second process that waited for the first finds the work done."""
    with exclusive(environment.lock, lambda: say("another ./forge is setting up; waiting for it")):
        if environment.ready(extras):
            return
        wanted = extras | environment.installed_extras()
        environment.install(wanted, say)
        environment.write_stamp(wanted)
        fetch_weights(environment)
        compile_kernels(environment)
    say("set up")


def fetch_weights(environment: Environment) -> None:
    """Bring the default matting weights. Without them most commands work, so a failure is told and no more."""
    command = [str(environment.python), "-P", "-m", "bridge_server.cli.main", "models", "pull"]
    done = subprocess.run(command, cwd=environment.root, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        say("the default matting weights are missing; photos need them. Later: ./forge models pull u2netp")


def compile_kernels(environment: Environment) -> None:
    """Compile the kernels that cast rays and pack, so that the first job need not; where it fails, that job does it."""
    say("compiling the kernels that cast rays and pack charts")
    for module in ("bridge_server.backends.raycaster.warp", "bridge_server.backends.unwrapper.bitmap_packing"):
        command = [str(environment.python), "-P", "-m", module]
        done = subprocess.run(
            command, cwd=environment.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            say(f"the kernels could not be compiled ({lines[-1]}); the first job tries again")


def hand_over(environment: Environment, arguments: list[str]) -> int:
    """Replace this process by the command line; Windows has no such thing, so there it is a child."""
    command = [str(environment.python), "-P", "-m", "bridge_server.cli.main", *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execv(command[0], command)  # noqa: S606
    return subprocess.run(command, check=False).returncode


def say(line: str) -> None:
    """Tell the user what goes on."""
    print(f"forge: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
