"""``forge check``: is a package whole, is a mesh file ready for an engine?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.cli.companion_files import MESH_EXTENSIONS
from bridge_server.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from bridge_server.stages.checklist import MakeChecklist
    from bridge_server.values.checklist import Checklist


def check(
    path: Annotated[
        Path, typer.Argument(help="Package folder or its zip, or a mesh file: GLB, glTF, FBX, OBJ, PLY or STL.")
    ],
    *,
    preset: Annotated[
        str, typer.Option(help="Preset whose limits a mesh file is held against; default: the rules' own.")
    ] = "",
    as_json: options.AsJson = False,
) -> None:
    """Check a package against its manifest, or any mesh file against the rules of game readiness."""
    from bridge_server.values.checklist import Verdict

    checklist = _checked(path, preset)
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


def _checked(path: Path, preset: str) -> "Checklist":
    if path.suffix.lower() not in MESH_EXTENSIONS or path.is_dir():
        from bridge_server.package.check import check_package

        if preset:
            raise typer.BadParameter("a package brings its own limits; --preset is for mesh files.")
        return check_package(path)
    from bridge_server.backends.raycaster.base import RAYCASTERS
    from bridge_server.cli.bake_files import mesh_source
    from bridge_server.package.check_mesh import check_mesh
    from bridge_server.run import SilentRun

    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    return check_mesh(mesh_source(path), _limits(preset), raycaster, SilentRun())


def _limits(preset: str) -> "MakeChecklist":
    """Of the preset's checklist, with its triangle count as the budget where it names none."""
    from dataclasses import replace

    from bridge_server.pipeline.preset_library import default_library
    from bridge_server.stages.checklist import MakeChecklist
    from bridge_server.stages.decimate import Decimate

    if not preset:
        return MakeChecklist()
    chosen = default_library().load(preset)
    built = {spec.stage: spec.build() for spec in (chosen.spec("checklist"), chosen.spec("decimate")) if spec}
    limits = built.get("checklist", MakeChecklist())
    decimate = built.get("decimate")
    assert isinstance(limits, MakeChecklist)
    if not limits.triangle_budget and isinstance(decimate, Decimate):
        return replace(limits, triangle_budget=decimate.triangle_count)
    return limits
