"""``forge check``: is a package whole, is a mesh file ready for an engine?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.cli.companion_files import MESH_EXTENSIONS
from bridge_server.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from bridge_server.package.check_shipped import Asked, ShippedRule
    from bridge_server.stages.checklist import MakeChecklist
    from bridge_server.values.checklist import Check


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
    """Check a package against its manifest and the rules, or any mesh file against the rules of game readiness."""
    from bridge_server.values.checklist import Checklist, Verdict

    _refuse_other_kinds(path)
    if path.suffix.lower() not in MESH_EXTENSIONS or path.is_dir():
        rules = _package_rules(path, preset)
        checks = [rule.check for rule in rules]
        documents = [_package_document(rule) for rule in rules]
        titles, rows = ["", "rule", "figure", "when forged", "limit", "remedy"], [_package_row(rule) for rule in rules]
    else:
        checks = list(_mesh_checks(path, preset))
        documents = [_document(check) for check in checks]
        titles, rows = ["", "rule", "figure", "limit", "remedy"], [_row(check) for check in checks]
    verdict = Checklist(checks=tuple(checks)).verdict
    if as_json:
        output.emit({"path": str(path), "verdict": verdict.value, "checklist": documents})
    else:
        output.table(titles, rows)
        output.say(f"{path}: {verdict.value}")
    if verdict is Verdict.FAIL:
        raise typer.Exit(ExitCode.CHECKLIST_FAILED)


def _refuse_other_kinds(path: Path) -> None:
    """Raise ``InputError`` where the path says that it is neither a package nor a mesh that can be read."""
    from bridge_server.errors import InputError

    if path.is_dir() or path.suffix.lower() in (*MESH_EXTENSIONS, ".zip"):
        return
    message = "there is nothing of that name." if not path.exists() else "is neither a package nor a known mesh file."
    kinds = ", ".join(sorted(extension[1:].upper() for extension in MESH_EXTENSIONS))
    remedy = f"Give a package's folder or zip, or a mesh: {kinds}."
    raise InputError(message, subject=str(path), remedy=remedy)


def _document(check: "Check") -> dict[str, object]:
    """For ``--json``."""
    return {
        "rule": check.rule,
        "title": check.title,
        "verdict": check.verdict.value,
        "figure": check.figure,
        "limit": check.limit,
        "remedy": check.remedy,
    }


def _package_document(rule: "ShippedRule") -> dict[str, object]:
    forged = rule.forged
    told = None if forged is None else {"verdict": forged.verdict.value, "figure": forged.figure}
    return {**_document(rule.check), "from_files": rule.from_files, "forged": told}


def _row(check: "Check") -> list[str]:
    """For the table."""
    return [check.verdict.value, check.title, check.figure, check.limit, check.remedy]


def _package_row(rule: "ShippedRule") -> list[str]:
    """The figure of the forging stands in a column of its own."""
    forged = rule.forged
    before = "" if forged is None else f"{forged.verdict.value}: {forged.figure}"
    verdict, title, figure, *rest = _row(rule.check)
    return [verdict, title, figure if rule.from_files else "", before, *rest]


def _package_rules(path: Path, preset: str) -> "list[ShippedRule]":
    """First what the manifest lists, then the rules."""
    from bridge_server.backends.raycaster.base import RAYCASTERS
    from bridge_server.errors import InputError
    from bridge_server.package.check import AGAIN, check_contents
    from bridge_server.package.check_shipped import ShippedRule, check_shipped
    from bridge_server.package.contents import read_package
    from bridge_server.run import SilentRun
    from bridge_server.values.manifest import MANIFEST_NAME, Manifest

    if preset:
        raise typer.BadParameter("a package brings its own limits; --preset is for mesh files.")
    contents = read_package(path)
    try:
        manifest = Manifest.from_json(contents.files[MANIFEST_NAME])
    except InputError as error:
        where = str(path / MANIFEST_NAME)
        raise InputError(error.message, subject=where, remedy=error.remedy or AGAIN, reason=error.reason) from error
    asked, unread = _asked(manifest.provenance.preset_document)
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    files = [*check_contents(contents, manifest).checks, *unread]
    return [
        *(ShippedRule(check=check, forged=None, from_files=True) for check in files),
        *check_shipped(contents, manifest, asked, raycaster, SilentRun()),
    ]


def _asked(preset_document: str) -> "tuple[Asked, list[Check]]":
    """Limits and target of the preset that ran, and a warning where this version cannot read it."""
    from bridge_server.errors import PresetError
    from bridge_server.package.check_shipped import Asked
    from bridge_server.pipeline.preset import Preset
    from bridge_server.stages.checklist import MakeChecklist
    from bridge_server.stages.export import Export
    from bridge_server.stages.export_files import ExportTarget
    from bridge_server.values.checklist import Check, Verdict

    limits, target, unread = MakeChecklist(), ExportTarget.UE5, []
    try:
        preset = Preset.from_json(preset_document)
    except PresetError as error:
        unread.append(
            Check(
                rule="preset",
                title="The preset that it was forged with can be read",
                verdict=Verdict.WARN,
                figure=error.message,
                limit="its limits",
                remedy="The rules' own limits are used; forge it again to have those of the preset.",
            )
        )
    else:
        for spec in preset.stages:
            built = spec.build() if spec.stage in {MakeChecklist.name, Export.name} else None
            limits = built if isinstance(built, MakeChecklist) else limits
            target = built.target if isinstance(built, Export) else target
    return Asked(limits=limits, target=target), unread


def _mesh_checks(path: Path, preset: str) -> "tuple[Check, ...]":
    from bridge_server.backends.raycaster.base import RAYCASTERS
    from bridge_server.cli.bake_files import mesh_source
    from bridge_server.package.check_mesh import check_mesh
    from bridge_server.run import SilentRun

    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    return check_mesh(mesh_source(path), _limits(preset), raycaster, SilentRun()).checks


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
