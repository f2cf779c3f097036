"""``forge test`` and ``forge bench``: run from a checkout, with the tools that the bootstrap installs for them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.errors import InputError, NotFound

ROOT = Path(__file__).resolve().parents[2]
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}
MOST_WORKERS = 4
"""Tests use up to two cores and 2 GB each."""
ALONE = ("--numprocesses", "--dist", "--capture", "--pdb", "--trace", "--collect-only", "--co", "--help", "--version")
ALONE_SHORT = ("-n", "-p", "-s", "-h", "-V")
"""Options of pytest that settle the number of workers, or that workers cannot serve; short ones may carry a value."""


def run_tests(context: typer.Context, *, as_json: options.AsJson = False) -> None:
    """Run the tests; every further argument goes to pytest. All of them share the cores; chosen files run in a row."""
    _refuse_without("tests")
    command = [sys.executable, "-m", "pytest", *side_by_side(context.args, os.cpu_count() or 1), *context.args]
    code = _run(command, quiet=as_json, environment=with_bytecode(os.environ))
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


def side_by_side(arguments: list[str], cores: int) -> list[str]:
    """Options that spread the tests over the cores, file by file; none where the arguments choose files or workers.

    Files stay whole, so that what their tests share is made once.
    """
    chosen = any(not word.startswith("-") and (ROOT / word.split("::")[0]).exists() for word in arguments)
    alone = any(word.split("=")[0] in ALONE or word.startswith(ALONE_SHORT) for word in arguments)
    workers = min(cores, MOST_WORKERS)
    if chosen or alone or workers < 2:
        return []
    return ["-n", str(workers), "--dist", "loadfile"]


def with_bytecode(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without ``PYTHONDONTWRITEBYTECODE``, which container images like to set.

    Tests start hundreds of processes. Under it each compiles every module anew, and pytest rewrites every assertion
    in every worker at every run.
    """
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _run(command: list[str], *, quiet: bool, environment: dict[str, str] | None = None) -> int:
    """Run in the checkout; with ``quiet`` its output goes to standard error, so that standard output stays JSON."""
    try:
        standard_output = sys.stderr if quiet else None
        return subprocess.run(command, cwd=ROOT, env=environment, stdout=standard_output, check=False).returncode
    except KeyboardInterrupt:
        return 130


def _refuse_without(folder: str) -> None:
    if not (ROOT / folder).is_dir():
        message = "this command needs a checkout of the repository."
        raise InputError(message, subject=str(ROOT / folder), remedy="Clone it, and run ./forge there.")


def _first_line(path: Path) -> str:
    import ast

    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
