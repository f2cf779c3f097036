"""Self-test in a real editor: imports a golden package twice and writes what Unreal made of it.

In the editor: Tools > Execute Python Script. In a commandlet:
``-run=pythonscript -script="selftest.py [PACKAGE_FOLDER] [REPORT_FOLDER]"``. The package is ``golden_package`` beside
this file unless another is named. Writes ``selftest.json`` and ``selftest.txt`` into the project's Saved/Open3DForge
folder (or REPORT_FOLDER): send both with a bug report. The asset that it imports is removed again.
"""

import json
import platform
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import unreal

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from unreal_scripts.asset_import import ImportRefused, import_asset  # noqa: E402
from unreal_scripts.asset_import.content import assets  # noqa: E402
from unreal_scripts.asset_import.manifest import PackageManifest, read_manifest  # noqa: E402
from unreal_scripts.asset_import.result import ImportResult  # noqa: E402

SCHEMA = "open3dforge.selftest.v1"
DESTINATION = "/Game/Open3DForgeSelfTest"


@dataclass
class Trial:
    """One thing that was tried."""

    name: str
    passed: bool
    detail: str
    seconds: float


@dataclass
class Report:
    """Everything that a reader needs to know about this editor."""

    schema: str = SCHEMA
    engine: str = ""
    python: str = sys.version
    system: str = platform.platform()
    package: str = ""
    trials: list[Trial] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True where every trial passed."""
        return bool(self.trials) and all(trial.passed for trial in self.trials)

    def attempt(self, name: str, work: Callable[[], str]) -> None:
        """Run one trial; whatever it raises is its result. ``work`` returns a detail, or raises ``AssertionError``."""
        started = time.perf_counter()
        try:
            detail, passed = work(), True
        except AssertionError as error:
            detail, passed = str(error), False
        except Exception:  # noqa: BLE001 - a self-test reports everything
            detail, passed = traceback.format_exc(), False
        self.trials.append(Trial(name, passed, detail, round(time.perf_counter() - started, 3)))

    def text(self) -> str:
        """For people."""
        lines = [
            f"Open3DForge self-test: {'PASSED' if self.passed else 'FAILED'}",
            f"Unreal {self.engine}, {self.system}",
        ]
        lines += [
            f"[{'ok' if trial.passed else 'FAILED'}] {trial.name} ({trial.seconds:.2f} s): {trial.detail}"
            for trial in self.trials
        ]
        return "\n".join(lines) + "\n"


def demand(condition: bool, message: str) -> None:
    """Fail the trial with a message."""
    if not condition:
        raise AssertionError(message)


def run(package: Path, report: Report) -> Report:
    """All trials on one package."""
    report.engine = unreal.SystemLibrary.get_engine_version()
    report.package = str(package)
    state: dict[str, ImportResult] = {}
    manifest = read_manifest(package)

    def first() -> str:
        state["first"] = import_asset(package, DESTINATION, show_progress=False)
        return state["first"].summary()

    def second() -> str:
        state["second"] = import_asset(package, DESTINATION, show_progress=False)
        demand(state["second"].updated, "the second import did not update in place")
        demand(state["second"].mesh_path == state["first"].mesh_path, "the mesh moved")
        return state["second"].summary()

    def refusal() -> str:
        try:
            import_asset(package, "/Game/Bad Folder", show_progress=False)
        except ImportRefused as error:
            return str(error)
        raise AssertionError("a content folder with a space was accepted")

    report.attempt("import", first)
    if "first" in state:
        report.attempt("nothing differs from the manifest", lambda: no_findings(state["first"]))
        report.attempt("textures", lambda: check_textures(manifest))
        report.attempt("material instance", lambda: check_material(manifest))
        report.attempt("import again", second)
    report.attempt("bad destination is refused", refusal)
    report.attempt("clean up", clean_up)
    return report


def no_findings(result: ImportResult) -> str:
    """Every difference between package and editor is a failure here."""
    demand(not result.findings, "; ".join(finding.message for finding in result.findings))
    return f"{result.lod_count} LODs, {result.collision_count} collision shapes, {result.height_cm:.2f} cm"


def check_textures(manifest: PackageManifest) -> str:
    """Colour space, compression and green channel of each texture."""
    seen = []
    for entry in manifest.textures:
        path = f"{DESTINATION}/{entry.name}"
        if not assets().does_asset_exist(path):
            continue
        texture = assets().load_asset(path)
        demand(texture.get_editor_property("srgb") == entry.srgb, f"{entry.name}: sRGB is wrong")
        wanted = getattr(unreal.TextureCompressionSettings, entry.compression)
        demand(texture.get_editor_property("compression_settings") == wanted, f"{entry.name}: compression is wrong")
        demand(
            texture.get_editor_property("flip_green_channel") == entry.flip_green, f"{entry.name}: green flip is wrong"
        )
        seen.append(entry.name)
    demand(len(seen) >= len(manifest.texture_parameters), f"only {seen} are there")
    return ", ".join(seen)


def check_material(manifest: PackageManifest) -> str:
    """Each texture parameter holds the texture that the manifest names."""
    instance = assets().load_asset(f"{DESTINATION}/{manifest.material_name}")
    for parameter, name in manifest.texture_parameters.items():
        held = unreal.MaterialEditingLibrary.get_material_instance_texture_parameter_value(instance, parameter)
        demand(held is not None and held.get_name() == name, f"parameter {parameter} holds {held}, not {name}")
    return ", ".join(manifest.texture_parameters)


def clean_up() -> str:
    """Remove what the test imported."""
    demand(assets().delete_directory(DESTINATION), f"{DESTINATION} could not be removed; delete it by hand")
    return DESTINATION


def main(words: list[str]) -> bool:
    """Run and write the two reports; returns whether all passed."""
    package = Path(words[0]) if words else HERE / "golden_package"
    saved = Path(unreal.Paths.convert_relative_path_to_full(unreal.Paths.project_saved_dir())) / "Open3DForge"
    folder = Path(words[1]) if len(words) > 1 else saved
    folder.mkdir(parents=True, exist_ok=True)
    report = run(package, Report())
    document = {**asdict(report), "passed": report.passed}
    (folder / "selftest.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    (folder / "selftest.txt").write_text(report.text(), encoding="utf-8")
    (unreal.log if report.passed else unreal.log_error)(report.text())
    return report.passed


if __name__ == "__main__" and not main([word for word in sys.argv[1:] if not word.startswith("-")]):
    raise SystemExit(1)
