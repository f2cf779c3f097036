"""Assets and packages: what is loaded, what lies on disk, and the subsystem that moves between the two.

A package is a JSON file with the ending ``.uasset`` below the project's Content folder. References between assets
are kept as paths, so an asset that is replaced in place keeps those who refer to it, and one that is deleted leaves
them with nothing.
"""

import json
import os
from pathlib import Path
from typing import Any

from tests.simulated_editor import unreal_module
from tests.simulated_editor.unreal_module import CLOCK, DEFAULTS, UnrealObject, UnrealStruct, implements, starting_value


class Content:
    """The project's content."""

    def __init__(self, project: Path) -> None:
        self.root = project / "Content"
        self.root.mkdir(parents=True, exist_ok=True)
        self.loaded: dict[str, UnrealObject] = {}
        self.folders: set[str] = {"/Game"}
        self.dirty: set[str] = set()
        self.dialogs: list[str] = []
        """Dialogs that would have stopped the editor."""
        self.log: list[tuple[str, str]] = []

    def file(self, path: str) -> Path:
        """The file of a package path such as ``/Game/Props/SM_Cup``."""
        return self.root.joinpath(*path.removeprefix("/Game/").split("/")).with_suffix(".uasset")

    def exists(self, path: str) -> bool:
        """Whether an asset is there, loaded or on disk."""
        return path in self.loaded or (path.startswith("/Game/") and self.file(path).is_file())

    def add(self, path: str, asset: UnrealObject) -> UnrealObject:
        """Put a new asset at a path."""
        asset._name, asset._path = path.rpartition("/")[2], path
        asset.__dict__.setdefault("_data", {})
        asset.__dict__.setdefault("_tags", {})
        self.loaded[path] = asset
        self.dirty.add(path)
        self.folders.add(path.rpartition("/")[0])
        return asset

    def get(self, path: str) -> UnrealObject | None:
        """The asset at a path, loaded where it only lies on disk."""
        if path in self.loaded:
            return self.loaded[path]
        if not path.startswith("/Game/") or not self.file(path).is_file():
            return None
        document = json.loads(self.file(path).read_text(encoding="utf-8"))
        asset = getattr(unreal_module.MODULE[0], document["class"])()
        self.loaded[path] = asset
        asset._name, asset._path = path.rpartition("/")[2], path
        asset._tags, asset._data = document["tags"], document["data"]
        for name, value in document["properties"].items():
            asset._values()[name] = self._thaw(asset, name, value)
        return asset

    def all_paths(self) -> list[str]:
        """Every asset, loaded or on disk."""
        on_disk = {
            "/Game/" + file.relative_to(self.root).with_suffix("").as_posix() for file in self.root.rglob("*.uasset")
        }
        return sorted(on_disk | set(self.loaded))

    def save(self, path: str) -> bool:
        """Write the package; False where its file cannot be written, as the editor answers."""
        asset, file = self.loaded[path], self.file(path)
        if file.exists() and not file.stat().st_mode & 0o200:
            self.log.append(("Error", f"{file} is read-only"))
            return False
        document = {
            "class": type(asset).__name__,
            "properties": {name: _freeze(value) for name, value in asset._values().items()},
            "tags": asset._tags,
            "data": asset._data,
        }
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
        except OSError as error:
            self.log.append(("Error", f"{file}: {error}"))
            return False
        self.dirty.discard(path)
        return True

    def delete(self, path: str) -> bool:
        """Remove an asset from memory and disk; references to it become empty."""
        gone = self.loaded.pop(path, None)
        self.dirty.discard(path)
        if self.file(path).is_file():
            self.file(path).unlink()
        for asset in self.loaded.values():
            for name, value in asset._values().items():
                if gone is not None and value is gone:
                    asset._values()[name] = None
            _forget(asset._data, path)
        return gone is not None

    def class_of(self, path: str) -> str:
        """Class name of the asset at a path."""
        asset = self.get(path)
        return type(asset).__name__ if asset is not None else ""

    def _thaw(self, asset: UnrealObject, name: str, value: Any) -> Any:
        module = unreal_module.MODULE[0]
        if isinstance(value, dict) and "$enum" in value:
            return getattr(getattr(module, value["$enum"]), value["name"])
        if isinstance(value, dict) and "$asset" in value:
            return self.get(value["$asset"])
        if isinstance(value, dict) and "$struct" in value:
            made = getattr(module, value["$struct"])()
            for field, content in value["fields"].items():
                made._values()[field] = self._thaw(asset, field, content)
            return made
        if isinstance(value, list):
            return [self._thaw(asset, name, item) for item in value]
        return value


CONTENT: list[Content] = []


def content() -> Content:
    """The open project's content."""
    return CONTENT[0]


def package_path(path: str) -> str:
    """``/Game/A/X`` out of ``/Game/A/X`` or ``/Game/A/X.X``."""
    return path.partition(".")[0]


def _freeze(value: Any) -> Any:
    if isinstance(value, UnrealStruct):
        fields = {name: _freeze(content) for name, content in value._values().items()}
        return {"$struct": type(value).__name__, "fields": fields}
    if isinstance(value, UnrealObject):
        if type(value).__dict__.get("__enum_members__"):
            return {"$enum": type(value).__name__, "name": value._name}
        return {"$asset": value._path} if "_path" in value.__dict__ else None  # sub-objects live in memory only
    if isinstance(value, list | tuple | set):
        return [_freeze(item) for item in value]
    return value


def _forget(data: Any, path: str) -> None:
    for key, value in data.items() if isinstance(data, dict) else ():
        if value == path:
            data[key] = ""
        elif isinstance(value, dict):
            _forget(value, path)


# --- objects ---------------------------------------------------------------------------------------------------------


@implements("_ObjectBase.get_name")
def get_name(self: UnrealObject) -> str:
    return str(self.__dict__.get("_name", ""))


@implements("_ObjectBase.get_path_name")
def get_path_name(self: UnrealObject) -> str:
    path = self.__dict__.get("_path", "")
    return f"{path}.{self._name}" if path else ""


@implements("_ObjectBase.get_class")
def get_class(self: UnrealObject) -> type:
    return type(self)


@implements("_ObjectBase.modify")
def modify(self: UnrealObject, always_mark_dirty: bool) -> bool:
    if self.__dict__.get("_path") and always_mark_dirty:
        content().dirty.add(self._path)
    return True


@implements("_ObjectBase.get_package")
def get_package(self: UnrealObject) -> UnrealObject:
    package = unreal_module.MODULE[0].Package()
    package._name = package._path = self._path
    return package


implements("_ObjectBase.get_outermost")(get_package)


# --- EditorAssetSubsystem ---------------------------------------------------------------------------------------------


@implements("EditorAssetSubsystem.does_asset_exist")
def does_asset_exist(_self: Any, asset_path: str) -> bool:
    return content().exists(package_path(asset_path))


@implements("EditorAssetSubsystem.load_asset")
def load_asset(_self: Any, asset_path: str) -> UnrealObject | None:
    return content().get(package_path(asset_path))


@implements("EditorAssetSubsystem.find_asset_data")
def find_asset_data(_self: Any, asset_path: str) -> UnrealObject:
    module, path = unreal_module.MODULE[0], package_path(asset_path)
    data = module.AssetData()
    values = data._values()
    values["package_name"], values["asset_name"] = path, path.rpartition("/")[2]
    found = module.TopLevelAssetPath()
    found._values().update({"package_name": "/Script/Engine", "asset_name": content().class_of(path)})
    values["asset_class_path"] = found
    return data


@implements("EditorAssetSubsystem.make_directory")
def make_directory(_self: Any, directory_path: str) -> bool:
    if not directory_path.startswith("/Game"):
        return False
    parts = directory_path.strip("/").split("/")
    for end in range(1, len(parts) + 1):
        content().folders.add("/" + "/".join(parts[:end]))
    return True


@implements("EditorAssetSubsystem.does_directory_exist")
def does_directory_exist(_self: Any, directory_path: str) -> bool:
    folder = directory_path.rstrip("/")
    return folder in content().folders or any(path.startswith(folder + "/") for path in content().all_paths())


@implements("EditorAssetSubsystem.does_directory_contain_assets")
def does_directory_contain_assets(_self: Any, directory_path: str, recursive: bool) -> bool:
    return bool(list_assets(_self, directory_path, recursive, False))


@implements("EditorAssetSubsystem.delete_directory")
def delete_directory(_self: Any, directory_path: str) -> bool:
    folder = directory_path.rstrip("/")
    for path in [path for path in content().all_paths() if path.startswith(folder + "/")]:
        content().get(path)
        content().delete(path)
    content().folders -= {name for name in content().folders if name == folder or name.startswith(folder + "/")}
    return True


@implements("EditorAssetSubsystem.list_assets")
def list_assets(_self: Any, directory_path: str, recursive: bool, _include_folder: bool) -> list[str]:
    folder = directory_path.rstrip("/") + "/"
    found = [path for path in content().all_paths() if path.startswith(folder)]
    if not recursive:
        found = [path for path in found if "/" not in path.removeprefix(folder)]
    return [f"{path}.{path.rpartition('/')[2]}" for path in found]


@implements("EditorAssetSubsystem.delete_asset")
def delete_asset(_self: Any, asset_path: str) -> bool:
    path = package_path(asset_path)
    content().get(path)
    return content().delete(path)


@implements("EditorAssetSubsystem.delete_loaded_asset")
def delete_loaded_asset(_self: Any, asset: UnrealObject) -> bool:
    return content().delete(asset._path)


@implements("EditorAssetSubsystem.rename_loaded_asset")
def rename_loaded_asset(_self: Any, asset: UnrealObject, destination: str) -> bool:
    if content().exists(destination):
        return False
    old = asset._path
    content().loaded.pop(old, None)
    if content().file(old).is_file():
        content().file(old).unlink()
    content().add(destination, asset)
    return True


@implements("EditorAssetSubsystem.consolidate_assets")
def consolidate_assets(_self: Any, kept: UnrealObject, others: list[UnrealObject]) -> bool:
    for other in others:
        for asset in content().loaded.values():
            for name, value in asset._values().items():
                if value is other:
                    asset._values()[name] = kept
        content().delete(other._path)
    return True


@implements("EditorAssetSubsystem.save_loaded_asset")
def save_loaded_asset(_self: Any, asset: UnrealObject, only_if_is_dirty: bool) -> bool:
    if only_if_is_dirty and asset._path not in content().dirty:
        return True
    return content().save(asset._path)


@implements("EditorAssetSubsystem.set_metadata_tag")
def set_metadata_tag(_self: Any, asset: UnrealObject, tag: str, value: str) -> None:
    asset._tags[str(tag)] = value
    content().dirty.add(asset._path)


@implements("EditorAssetSubsystem.get_metadata_tag")
def get_metadata_tag(_self: Any, asset: UnrealObject, tag: str) -> str:
    return str(asset._tags.get(str(tag), ""))


@implements("EditorLoadingAndSavingUtils.reload_packages")
def reload_packages(_cls: Any, packages: list[UnrealObject], mode: Any) -> tuple[bool, str]:
    if mode is not unreal_module.MODULE[0].ReloadPackagesInteractionMode.ASSUME_POSITIVE:
        content().dialogs.append("Reload packages?")
    for package in packages:
        if not content().file(package._path).is_file():
            content().log.append(("Error", f"{package._path} was never saved and cannot be reloaded"))
            continue
        asset = content().loaded.pop(package._path, None)
        if asset is not None:
            asset._values().clear()
        fresh = content().get(package._path)
        if asset is not None and fresh is not None:
            asset.__dict__.update(fresh.__dict__)  # the object keeps its identity, and with it those who refer to it
            content().loaded[package._path] = asset
        content().dirty.discard(package._path)
    return True, ""


# --- paths, versions, source control, logging ----------------------------------------------------------------


@implements("Paths.project_content_dir")
def project_content_dir(_cls: Any) -> str:
    return str(content().root) + "/"


@implements("Paths.project_saved_dir")
def project_saved_dir(_cls: Any) -> str:
    return str(content().root.parent / "Saved") + "/"


@implements("Paths.convert_relative_path_to_full")
def convert_relative_path_to_full(_cls: Any, path: str, _base: str) -> str:
    return str(Path(path).resolve())


@implements("SourceControl.is_enabled")
def is_enabled(_cls: Any) -> bool:
    return "O3F_SOURCE_CONTROL" in os.environ


@implements("SourceControl.is_available")
def is_available(_cls: Any) -> bool:
    return "O3F_SOURCE_CONTROL" in os.environ


@implements("SourceControl.check_out_or_add_file")
def check_out_or_add_file(_cls: Any, file: str, _silent: bool) -> bool:
    if os.environ.get("O3F_SOURCE_CONTROL") == "locked":
        return False
    Path(file).chmod(0o644)
    return True


@implements("SourceControl.last_error_msg")
def last_error_msg(_cls: Any) -> str:
    return "checked out by somebody else"


@implements("log")
def log(text: Any) -> None:
    content().log.append(("Info", str(text)))


@implements("log_warning")
def log_warning(text: Any) -> None:
    content().log.append(("Warning", str(text)))


@implements("log_error")
def log_error(text: Any) -> None:
    content().log.append(("Error", str(text)))


__all__ = ["CLOCK", "CONTENT", "DEFAULTS", "Content", "content", "package_path", "starting_value"]
