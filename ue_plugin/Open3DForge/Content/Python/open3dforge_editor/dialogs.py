"""Dialogs from the editor's own details view, which every version has. All of them are opened by a click only."""

import re
from pathlib import Path

import unreal

from open3dforge_editor.job_list import ForgeRequest
from open3dforge_editor.settings import EditorSettings

VIEWS = ("front", "back", "left", "right")


@unreal.uclass()
class Open3DForgeRequestForm(unreal.Object):
    """What to forge."""

    asset_name = unreal.uproperty(str, meta={"Category": "Asset", "DisplayName": "Asset name"})
    preset = unreal.uproperty(str, meta={"Category": "Asset", "DisplayName": "Preset"})
    destination = unreal.uproperty(unreal.DirectoryPath, meta={"Category": "Asset", "ContentDir": ""})
    front = unreal.uproperty(unreal.FilePath, meta={"Category": "Pictures", "DisplayName": "Front picture"})
    back = unreal.uproperty(unreal.FilePath, meta={"Category": "Pictures", "DisplayName": "Back picture"})
    left = unreal.uproperty(unreal.FilePath, meta={"Category": "Pictures", "DisplayName": "Left picture"})
    right = unreal.uproperty(unreal.FilePath, meta={"Category": "Pictures", "DisplayName": "Right picture"})
    mesh = unreal.uproperty(unreal.FilePath, meta={"Category": "Mesh", "DisplayName": "Mesh file instead of pictures"})
    overrides = unreal.uproperty(str, meta={"Category": "Advanced", "DisplayName": "Settings, stage.field=value; ..."})
    import_when_done = unreal.uproperty(bool, meta={"Category": "Advanced", "DisplayName": "Import when done"})


@unreal.uclass()
class Open3DForgeSettingsForm(unreal.Object):
    """Where the server is."""

    server = unreal.uproperty(str, meta={"Category": "Server", "DisplayName": "Address"})
    token = unreal.uproperty(str, meta={"Category": "Server", "DisplayName": "Token"})
    certificate = unreal.uproperty(unreal.FilePath, meta={"Category": "Server", "DisplayName": "Certificate authority"})
    preset = unreal.uproperty(str, meta={"Category": "Defaults", "DisplayName": "Preset"})
    destination = unreal.uproperty(str, meta={"Category": "Defaults", "DisplayName": "Destination folder"})
    import_when_done = unreal.uproperty(bool, meta={"Category": "Defaults", "DisplayName": "Import when done"})


def ask_request(request: ForgeRequest) -> ForgeRequest | None:
    """Show a request for editing; None where the user cancels."""
    form = unreal.new_object(Open3DForgeRequestForm)
    form.set_editor_property("asset_name", request.asset_name)
    form.set_editor_property("preset", request.preset)
    form.set_editor_property("destination", unreal.DirectoryPath(request.destination))
    for path, view in request.photos:
        form.set_editor_property(view, unreal.FilePath(str(path)))
    if request.mesh is not None:
        form.set_editor_property("mesh", unreal.FilePath(str(request.mesh)))
    form.set_editor_property("overrides", "; ".join(f"{key}={value}" for key, value in request.overrides))
    form.set_editor_property("import_when_done", request.import_when_done)
    if not unreal.EditorDialog.show_object_details_view("Forge 3D asset", form):
        return None
    mesh = _file(form, "mesh")
    return ForgeRequest(
        asset_name=str(form.get_editor_property("asset_name")),
        preset=str(form.get_editor_property("preset")),
        destination=str(form.get_editor_property("destination").get_editor_property("path")),
        photos=() if mesh else tuple((path, view) for view in VIEWS if (path := _file(form, view)) is not None),
        mesh=mesh,
        overrides=parse_overrides(str(form.get_editor_property("overrides"))),
        import_when_done=bool(form.get_editor_property("import_when_done")),
    )


def ask_settings(settings: EditorSettings) -> EditorSettings | None:
    """Show the settings for editing; None where the user cancels."""
    form = unreal.new_object(Open3DForgeSettingsForm)
    for name in ("server", "token", "preset", "destination", "import_when_done"):
        form.set_editor_property(name, getattr(settings, name))
    form.set_editor_property("certificate", unreal.FilePath(settings.certificate))
    if not unreal.EditorDialog.show_object_details_view("Open3DForge settings", form):
        return None
    return EditorSettings(
        server=str(form.get_editor_property("server")).strip(),
        token=str(form.get_editor_property("token")).strip(),
        certificate=str(_file(form, "certificate") or ""),
        preset=str(form.get_editor_property("preset")).strip(),
        destination=str(form.get_editor_property("destination")).strip(),
        import_when_done=bool(form.get_editor_property("import_when_done")),
    )


def tell(title: str, message: str) -> None:
    """Say something that the user has just asked for."""
    unreal.EditorDialog.show_message(title, message, unreal.AppMsgType.OK, unreal.AppReturnType.OK)


def parse_overrides(text: str) -> tuple[tuple[str, str], ...]:
    """Read ``stage.field=value; stage.field=value``; pieces without an equals sign are left to the server to refuse."""
    pieces = (piece.strip() for piece in re.split(r"[;\n]", text))
    return tuple((key.strip(), value.strip()) for key, _, value in (piece.partition("=") for piece in pieces if piece))


def _file(form: unreal.Object, name: str) -> Path | None:
    text = str(form.get_editor_property(name).get_editor_property("file_path")).strip()
    return Path(text) if text else None
