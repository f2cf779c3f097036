"""What the user has set, kept in a file of the user's own outside every project, so no token lands in a repository."""

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

SCHEMA = "open3dforge.editor_settings.v1"


@dataclass(frozen=True)
class EditorSettings:
    """All settings of the plugin."""

    server: str = "127.0.0.1:50551"
    token: str = ""
    certificate: str = ""
    """Path of the server's certificate authority; needed for servers that are not on this machine."""
    preset: str = "prop_UE5_standard"
    destination: str = "/Game/Forged"
    import_when_done: bool = True


def settings_path(environment: "os._Environ[str] | dict[str, str]" = os.environ) -> Path:
    """Where the settings lie: OPEN3DFORGE_EDITOR_SETTINGS, or the user's configuration folder."""
    if chosen := environment.get("OPEN3DFORGE_EDITOR_SETTINGS"):
        return Path(chosen)
    base = environment.get("APPDATA") or environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base, "Open3DForge", "editor.json")


def load_settings(path: Path) -> EditorSettings:
    """Read the settings; a missing or unreadable file, or a field of another type, gives the default."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return EditorSettings()
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return EditorSettings()
    settings = EditorSettings()
    known = {
        field.name: document[field.name]
        for field in fields(EditorSettings)
        if isinstance(document.get(field.name), type(getattr(settings, field.name)))
    }
    return replace(settings, **known)


def save_settings(path: Path, settings: EditorSettings) -> None:
    """Write the settings whole or not at all, readable by the user alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    # Made with its mode, so that the token is at no moment readable by others.
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"schema": SCHEMA, **asdict(settings)}, file, indent=2)
    partial.replace(path)
