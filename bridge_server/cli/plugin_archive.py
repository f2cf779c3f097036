"""Making the editor plugin's drop-in zip: sources, contract stubs, import scripts, and wheels for the editor's Python.

The wheels are pinned by digest in the ``.uplugin`` file's ``PythonRequirements``; the same pins serve an editor that
installs them itself. A zip with the wheels inside needs no network and no pip, so there the entry is taken out.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge_server.errors import InputError, NotFound, StageFailed

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "ue_plugin" / "Open3DForge"
EDITOR_PYTHON = "3.11"
PACKAGES = ("googleapis-common-protos", "grpcio", "protobuf", "typing_extensions")
PIP_PLATFORMS = {
    "Win64": ("win_amd64",),
    "Linux": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "Mac": ("macosx_11_0_universal2", "macosx_10_9_universal2"),
}
"""Unreal's platform name -> wheel tags, newest first."""
FIXED_TIME = (2020, 1, 1, 0, 0, 0)
STUBS = ROOT / "proto" / "python"
SCRIPTS = ("asset_import", "capture", "golden_package")
LOOSE_SCRIPTS = ("__init__.py", "run_import.py", "selftest.py")


@dataclass(frozen=True, slots=True)
class BuiltPlugin:
    """A zip to drop into ``Plugins/``."""

    path: Path
    platform: str
    files: int
    bytes: int


def build(platform: str, out: Path, *, wheels: bool = True) -> BuiltPlugin:
    """Write ``Open3DForge_<platform>.zip`` into ``out``.

    Without ``wheels`` the editor installs them itself, from the pins. Raises ``InputError`` on an unknown platform,
    ``StageFailed`` where the wheels cannot be had.
    """
    if platform not in PIP_PLATFORMS:
        known = ", ".join(PIP_PLATFORMS)
        raise InputError("is no platform of the editor.", subject=f"--platform {platform}", remedy=f"Known: {known}.")
    require_checkout()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="forge-plugin-") as folder:
        tree = Path(folder, "Open3DForge")
        assemble(tree, platform, wheels=wheels)
        archive = out / f"Open3DForge_{platform}{'' if wheels else '_no_wheels'}.zip"
        partial = archive.with_suffix(".partial")
        files = list(_files(tree))
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as written:
            for file in files:
                entry = zipfile.ZipInfo(f"Open3DForge/{file.relative_to(tree).as_posix()}", FIXED_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                written.writestr(entry, file.read_bytes())
        partial.replace(archive)
    return BuiltPlugin(archive, platform, len(files), archive.stat().st_size)


def install(project: Path, platform: str) -> Path:
    """Put the plugin into a project's ``Plugins`` folder, replacing an older one; returns its folder."""
    if project.suffix != ".uproject" or not project.is_file():
        raise NotFound("is no Unreal project file.", subject=str(project), remedy="Name the .uproject file.")
    require_checkout()
    plugins = project.parent / "Plugins"
    try:
        plugins.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".forge-", dir=plugins) as folder:
            fresh = Path(folder, "Open3DForge")
            assemble(fresh, platform, wheels=True)
            target = plugins / "Open3DForge"
            if target.exists():
                shutil.move(target, Path(folder, "older"))
            shutil.move(fresh, target)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}.",
            subject=str(plugins),
            remedy="Close the editor, which holds the plugin's files open, and check that you may write there.",
        ) from error
    return target


def assemble(tree: Path, platform: str, *, wheels: bool) -> None:
    """Lay out the plugin's folder."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(SOURCE, tree, ignore=ignore)
    shutil.copy(ROOT / "LICENSE", tree / "LICENSE")
    python = tree / "Content" / "Python"
    scripts = python / "unreal_scripts"
    scripts.mkdir()
    for name in SCRIPTS:
        shutil.copytree(ROOT / "unreal_scripts" / name, scripts / name, ignore=ignore)
    for name in LOOSE_SCRIPTS:
        shutil.copy(ROOT / "unreal_scripts" / name, scripts / name)
    shared = python / "Lib" / "site-packages"
    shutil.copytree(STUBS, shared, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.pyi"))
    description = json.loads((tree / "Open3DForge.uplugin").read_text(encoding="utf-8"))
    if wheels:
        pins = pinned(description, platform)
        del description["PythonRequirements"]
        _unpack(pins, platform, python / "Lib" / platform / "site-packages")
    text = json.dumps(description, indent=2) + "\n"
    (tree / "Open3DForge.uplugin").write_text(text, encoding="utf-8")


def pinned(description: dict[str, object], platform: str) -> list[str]:
    """The pinned requirements of a platform, as pip reads them."""
    entries = description["PythonRequirements"]
    assert isinstance(entries, list)
    return [line for entry in entries if entry["Platform"] in ("All", platform) for line in entry["Requirements"]]


def download(requirements: list[str], platform: str, folder: Path, *, hashes: bool) -> None:
    """Fetch the wheels for an editor's platform. Raises ``StageFailed`` with pip's last line."""
    listing = folder / "requirements.txt"
    listing.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", EDITOR_PYTHON, "--implementation", "cp"]
    command += [word for abi in ("cp311", "abi3", "none") for word in ("--abi", abi)]
    command += [word for tag in PIP_PLATFORMS[platform] for word in ("--platform", tag)]
    command += ["--require-hashes"] if hashes else []
    command += ["--dest", str(folder), "--requirement", str(listing)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.strip().splitlines() if line.startswith("ERROR")]
        raise StageFailed(
            f"pip could not fetch the wheels ({lines[-1] if lines else 'no reason given'}).",
            subject=f"plugin for {platform}",
            remedy="Check the connection to the package index, or build with --no-wheels.",
        )


def require_checkout() -> None:
    """The plugin's sources stand beside the package only in a checkout."""
    if not SOURCE.is_dir():
        raise NotFound("the plugin's sources are not here.", subject=str(SOURCE), remedy="Run this in a checkout.")


def _unpack(requirements: list[str], platform: str, target: Path) -> None:
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="forge-wheels-") as folder:
        download(requirements, platform, Path(folder), hashes=True)
        for wheel in sorted(Path(folder).glob("*.whl")):
            with zipfile.ZipFile(wheel) as content:
                content.extractall(target)


def _files(tree: Path) -> Iterator[Path]:
    return (path for path in sorted(tree.rglob("*")) if path.is_file())
