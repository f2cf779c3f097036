"""``forge check``: is a package whole and ready for an engine?"""

from pathlib import Path
from typing import Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.cli.exit_codes import ExitCode


def check(
    path: Annotated[Path, typer.Argument(help="Package folder or its zip.")], *, as_json: options.AsJson = False
) -> None:
    """Check a package: every file against the manifest's digests, and every rule of the contract."""
    from bridge_server.package.check import check_package
    from bridge_server.values.checklist import Verdict

    checklist = check_package(path)
    if as_json:
        rules = [
            {
                "rule": rule.rule,
                "title": rule.title,
                "verdict": rule.verdict.value,
                "figure": rule.figure,
                "limit": rule.limit,
                "remedy": rule.remedy,
            }
            for rule in checklist.checks
        ]
        output.emit({"path": str(path), "verdict": checklist.verdict.value, "checklist": rules})
    else:
        rows = [[rule.verdict.value, rule.title, rule.figure, rule.limit, rule.remedy] for rule in checklist.checks]
        output.table(["", "rule", "figure", "limit", "remedy"], rows)
        output.say(f"{path}: {checklist.verdict.value}")
    if checklist.verdict is Verdict.FAIL:
        raise typer.Exit(ExitCode.CHECKLIST_FAILED)
