"""Start and clean stop of the plugin, and reload without restarting the editor."""

import importlib
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import unreal

from open3dforge_editor import menus
from open3dforge_editor.actions import Actions
from open3dforge_editor.forging import Forge, forget_downloads
from open3dforge_editor.game_thread import GameThreadQueue
from open3dforge_editor.job_history import JobHistory
from open3dforge_editor.job_list import JobList
from open3dforge_editor.panel import Panel, tab_possible
from open3dforge_editor.settings import settings_path


@dataclass
class Plugin:
    """Everything that lives while the plugin is on."""

    queue: GameThreadQueue
    forge: Forge
    actions: Actions
    panel: Panel

    def stop(self) -> None:
        """Hang up, take the menus away, stop ticking."""
        menus.unregister()
        self.panel.close()
        self.forge.close()
        self.queue.stop()


RUNNING: list[Plugin] = []
"""The one running plugin; a list so that a reload finds the old one."""


def start() -> Plugin | None:
    """Register everything. Does nothing in a commandlet, where there is no one to click."""
    if unreal.SystemLibrary.is_unattended() or RUNNING:
        return RUNNING[0] if RUNNING else None
    saved = Path(unreal.Paths.convert_relative_path_to_full(unreal.Paths.project_saved_dir())) / "Open3DForge"
    queue = GameThreadQueue()
    jobs = JobList()
    forge = Forge(queue, jobs, saved / "packages")
    actions = Actions(forge, jobs, settings_path(), saved)
    under_way = JobHistory(saved / "jobs.json", jobs).restore()
    panel = Panel(actions)
    menus.register(actions, panel.open, without_tab=not tab_possible())
    queue.start()
    plugin = Plugin(queue, forge, actions, panel)
    RUNNING.append(plugin)
    unreal.register_python_shutdown_callback(stop)
    threading.Thread(target=forget_downloads, args=(saved / "packages",), name="open3dforge", daemon=True).start()
    # Off the game thread this also imports the network library, which takes a while.
    actions.test_connection()
    for job in under_way:
        forge.resume(job, actions.settings)
    return plugin


def stop() -> None:
    """Stop the plugin; safe to call twice."""
    while RUNNING:
        RUNNING.pop().stop()


def reload() -> Plugin | None:
    """Stop, read all modules again, start: for whoever works on the plugin, or has just updated it."""
    stop()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("open3dforge_editor", "unreal_scripts")]:
        del sys.modules[name]
    return importlib.import_module(__name__).start()
