"""``forge test`` and ``forge bench``: run from a checkout, with the tools that the bootstrap installs for them."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.errors import InputError, NotFound

ROOT = Path(__file__).resolve().parents[2]
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}


def run_tests(context: typer.Context, *, as_json: options.AsJson = False) -> None:
    """Run the tests; every further argument goes to pytest."""
    _refuse_without("tests")
    code = _run([sys.executable, "-m", "pytest", *context.args], quiet=as_json)
    if as_json:
        output.emit({"exit_code": code, "passed": code == 0})
    raise typer.Exit(code)


def run_benchmark(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="One benchmark; without it they are listed.")] = "",
    *,
    as_json: options.AsJson = False,
) -> None:
    """Run a benchmark by name, or list them; further arguments go to it."""
    _refuse_without("benchmarks")
    known = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("*.py")) if not path.stem.startswith("_")}
    if not name:
        if as_json:
            output.emit({"benchmarks": list(known)})
        else:
            output.table(["benchmark", "question"], [[stem, _first_line(path)] for stem, path in known.items()])
        return
    if name not in known:
        raise NotFound("there is no such benchmark.", subject=name, remedy=f"Known: {', '.join(known) or 'none'}.")
    code = _run([sys.executable, "-m", f"benchmarks.{name}", *context.args], quiet=as_json)
    if as_json:
        output.emit({"benchmark": name, "exit_code": code})
    raise typer.Exit(code)


def _run(command: list[str], *, quiet: bool) -> int:
    """Run in the checkout; with ``quiet`` its output goes to standard error, so that standard output stays JSON."""
    try:
        return subprocess.run(command, cwd=ROOT, stdout=sys.stderr if quiet else None, check=False).returncode
    except KeyboardInterrupt:
        return 130


def _refuse_without(folder: str) -> None:
    if not (ROOT / folder).is_dir():
        message = "this command needs a checkout of the repository."
        raise InputError(message, subject=str(ROOT / folder), remedy="Clone it, and run ./forge there.")


def _first_line(path: Path) -> str:
    import ast

    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
