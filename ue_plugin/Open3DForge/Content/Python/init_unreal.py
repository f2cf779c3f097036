"""Runs when the editor starts: registers Open3DForge's menus and tab. A fault here must never stop the editor."""

import unreal

try:
    from open3dforge_editor import startup

    startup.start()
except Exception as error:  # noqa: BLE001 - the editor goes on without us, and says why
    unreal.log_error(f"Open3DForge could not start: {error}. See the troubleshooting section of docs/unreal.md.")
