"""Content paths, the packages behind them, and the session that knows what an import made and can undo it."""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import unreal

from unreal_scripts.asset_import.errors import ImportRefused

# Unreal's INVALID_LONGPACKAGE_CHARACTERS, without the slash that separates folders.
FORBIDDEN = re.compile(r"[\\:*?\"<>|' ,.&!~\n\r\t@#]")


def assets() -> unreal.EditorAssetSubsystem:
    """The editor's asset subsystem."""
    return unreal.get_editor_subsystem(unreal.EditorAssetSubsystem)


def content_folder(destination: str) -> str:
    """A clean content path such as ``/Game/Props``. Raises ``ImportRefused`` naming the character that is wrong."""
    folder = "/" + destination.strip().strip("/")
    if FORBIDDEN.search(folder):
        wrong = "".join(sorted(set(FORBIDDEN.findall(folder)))).replace(" ", "space ")
        raise ImportRefused(f"Destination {destination!r}: Unreal allows no {wrong.strip()} in content paths.")
    if "//" in folder or folder == "/":
        raise ImportRefused(f"Destination {destination!r}: name a content folder such as /Game/Props.")
    root = folder.split("/")[1]
    if root in ("Engine", "Script", "Temp", "Memory"):
        raise ImportRefused(f"Destination {destination!r}: /{root} belongs to the engine. Use a folder below /Game.")
    return folder


def package_file(package: str) -> Path | None:
    """The file of a package below /Game; None for packages of plugins, whose place Python cannot ask for."""
    if not package.startswith("/Game/"):
        return None
    content = unreal.Paths.convert_relative_path_to_full(unreal.Paths.project_content_dir())
    return Path(content, *package.removeprefix("/Game/").split("/")).with_suffix(".uasset")


def make_writable(package: str) -> None:
    """Check the package out where source control is on; raises ``ImportRefused`` where it stays read-only."""
    file = package_file(package)
    if file is None:
        return
    controlled = unreal.SourceControl.is_enabled() and unreal.SourceControl.is_available()
    if controlled and file.exists() and not unreal.SourceControl.check_out_or_add_file(str(file), silent=True):
        reason = unreal.SourceControl.last_error_msg()
        raise ImportRefused(f"{package}: source control refuses the checkout ({reason}). Check it out by hand.")
    if file.exists() and not (file.stat().st_mode & stat.S_IWUSR and os.access(file, os.W_OK)):
        raise ImportRefused(f"{package}: {file} is read-only. Make it writable, or check it out of source control.")


def asset_path(asset: unreal.Object) -> str:
    """Content path of an asset, without the object name that Unreal repeats after a dot."""
    return str(asset.get_path_name()).partition(".")[0]


def class_name_at(path: str) -> str:
    """Class of the asset at a content path; empty where there is none."""
    if not assets().does_asset_exist(path):
        return ""
    return str(assets().find_asset_data(path).asset_class_path.asset_name)


@dataclass
class Session:
    """What one import has created and touched."""

    folder: str
    created: list[str] = field(default_factory=list)
    """Paths of assets that were not there before, in order of creation."""
    touched: list[unreal.Object] = field(default_factory=list)
    """Everything that has to be saved at the end."""
    made_folders: list[str] = field(default_factory=list)
    scratch: str = ""
    """Folder for assets that only live during the import; empty once removed."""

    def path(self, name: str) -> str:
        """Content path of an asset of this import."""
        return f"{self.folder}/{name}"

    def claim(self, path: str, expected_class: str) -> bool:
        """Whether the asset is there already; refuses a name that an asset of another class holds."""
        found = class_name_at(path)
        if found and found != expected_class:
            raise ImportRefused(
                f"{path}: is a {found}, the import wants to put a {expected_class} there. "
                "Rename or move that asset, or import under another name or folder."
            )
        make_writable(path)
        if not found:
            self.created.append(path)
        return bool(found)

    def make_folder(self, folder: str) -> None:
        """Make a content folder where it is missing."""
        if assets().does_directory_exist(folder):
            return
        if not assets().make_directory(folder):
            raise ImportRefused(f"{folder}: Unreal could not make the folder. Does its first part name a mount point?")
        self.made_folders.append(folder)

    def touch(self, asset: unreal.Object) -> None:
        """Have it saved at the end."""
        if asset not in self.touched:
            self.touched.append(asset)

    def drop_scratch(self) -> None:
        """Remove the assets that only lived during the import."""
        if self.scratch and assets().does_directory_exist(self.scratch):
            assets().delete_directory(self.scratch)
        self.scratch = ""

    def roll_back(self) -> None:
        """Delete what was created, and take what was there before back from disk."""
        self.drop_scratch()
        kept = [asset.get_package() for asset in self.touched if asset_path(asset) not in self.created]
        self.touched.clear()
        for path in reversed(self.created):
            if assets().does_asset_exist(path):
                assets().delete_asset(path)
        self.created.clear()
        for folder in self.made_folders:
            if assets().does_directory_exist(folder) and not assets().does_directory_contain_assets(folder):
                assets().delete_directory(folder)
        if kept:
            unreal.EditorLoadingAndSavingUtils.reload_packages(
                kept, unreal.ReloadPackagesInteractionMode.ASSUME_POSITIVE
            )


def run_import_task(file: Path, folder: str, name: str, options: unreal.Object | None = None) -> list[unreal.Object]:
    """Import one file without dialogs, replacing what is there, and return the assets that came of it."""
    task = unreal.AssetImportTask()
    task.set_editor_property("filename", str(file))
    task.set_editor_property("destination_path", folder)
    task.set_editor_property("destination_name", name)
    task.set_editor_property("automated", True)
    task.set_editor_property("replace_existing", True)
    task.set_editor_property("replace_existing_settings", True)
    task.set_editor_property("save", False)
    task.set_editor_property("async_", False)
    if options is not None:
        task.set_editor_property("options", options)
    unreal.AssetToolsHelpers.get_asset_tools().import_asset_tasks([task])
    return [asset for asset in task.get_objects() if asset is not None]
