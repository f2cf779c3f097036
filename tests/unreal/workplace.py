"""What the plugin's tests stand on: a server process that can be killed, and an editor with the plugin in it."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from tests.service.calls import Calls
from tests.simulated_editor.process import ROOT, EditorProcess

TEXTURES = "ContentBrowser.AssetContextMenu.Texture2D"
MESHES = "ContentBrowser.AssetContextMenu.StaticMesh"
FOLDERS = "ContentBrowser.FolderContextMenu"
TOOLS = "LevelEditor.MainMenu.Tools"
TOOL_BAR = "LevelEditor.LevelEditorToolBar.User"
FORGE = "Forge 3D asset from image(s)"
MESH = "/Game/Props/SM_GoldenCrate"
IMPORT_TEXTURE = """
task = unreal.AssetImportTask()
wishes = dict(filename={file!r}, destination_path={folder!r}, destination_name={name!r}, automated=True, save=True)
for key, value in wishes.items():
    task.set_editor_property(key, value)
unreal.AssetToolsHelpers.get_asset_tools().import_asset_tasks([task])
"""
JOBS = """
from open3dforge_editor import startup
[
    dict(line=j.line(), phase=str(j.phase), server_name=j.server_name, message=j.message, package=str(j.package or ""))
    for j in startup.RUNNING[0].actions.jobs.jobs
]
"""
BUTTONS = {
    "Cancel": "Cancel the newest Open3DForge job",
    "Retry": "Retry the newest Open3DForge job",
    "Import": "Import the newest Open3DForge package",
}
"""Button of the tab -> entry of the Tools menu where there is no tab."""


class CrateServer:
    """A server process on a port that stays the same over restarts."""

    def __init__(self, data: Path, token: str = "") -> None:
        self.data, self.token = data, token
        self.port = 0
        self._child: subprocess.Popen[str] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.unreal.crate_server", str(self.data), str(self.port)]
        self._child = subprocess.Popen(
            [*command, *([self.token] if self.token else [])], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line.startswith("open3dforge listening on 127.0.0.1:"), line
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        """As when the machine loses power."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            assert self._child.stdout is not None
            self._child.stdout.close()
            self._child = None

    def views_of(self, job: str) -> str:
        """What the job was made from."""
        return (self.data / "jobs" / job.removeprefix("jobs/") / "views.txt").read_text()

    def jobs(self) -> list[Any]:
        """Every job, as the server tells it."""
        from open3dforge.v1 import jobs_pb2

        with grpc.insecure_channel(self.address) as channel:
            return list(Calls(channel).jobs.ListJobs(jobs_pb2.ListJobsRequest(), timeout=10).jobs)


class PluginEditor(EditorProcess):
    """An editor with the plugin, set to a server."""

    def __init__(self, version: str, project: Path, plugin: Path, **settings: object) -> None:
        self.version, self.project = version, project
        self.settings_file = project.parent / "user settings" / "editor.json"
        if settings or not self.settings_file.exists():
            self.settings_file.parent.mkdir(exist_ok=True)
            document = {"schema": "open3dforge.editor_settings.v1", **settings}
            self.settings_file.write_text(json.dumps(document), encoding="utf-8")
        environment = {"OPEN3DFORGE_EDITOR_SETTINGS": str(self.settings_file)}
        exported = project.parent / "exported.glb"
        if exported.exists():
            environment["O3F_EXPORT_GLB"] = str(exported)
        super().__init__(version, project, plugin=plugin, environment=environment)

    def import_texture(self, file: Path, name: str = "T_Cup", folder: str = "/Game/Photos") -> str:
        """Bring a picture into the content browser; returns its path."""
        self.ask("python", code=IMPORT_TEXTURE.format(file=str(file), folder=folder, name=name))
        return f"{folder}/{name}"

    def forge(self, *textures: str, **answer: object) -> None:
        """Click on textures, and answer the details dialog."""
        self.ask("answer", answer={"preset": "prop_UE5_standard", "destination": "/Game/Props", **answer})
        self.ask("click", menu=TEXTURES, label=FORGE, assets=list(textures))

    def jobs(self) -> list[dict[str, str]]:
        """The jobs as the plugin holds them, newest first."""
        return list(self.ask("python", code=JOBS))

    def wait_for_job(
        self, *phases: str, number: int = 0, seconds: float = 30.0, until: Callable[[str], bool] = lambda line: True
    ) -> dict[str, str]:
        """The job once it is in one of the phases."""
        end = time.monotonic() + seconds
        while True:
            jobs = self.jobs()
            if len(jobs) > number and jobs[number]["phase"] in phases and until(jobs[number]["line"]):
                return jobs[number]
            if time.monotonic() > end:
                raise AssertionError(f"{phases} not reached within {seconds} s: {jobs}, log {self.state()['log'][-5:]}")
            time.sleep(0.05)

    def wait_for_phases(self, *phases: str, seconds: float = 30.0) -> None:
        """Until the jobs are in these phases, in whatever order: the server takes them as their uploads end."""
        end = time.monotonic() + seconds
        while True:
            jobs = self.jobs()
            if sorted(phases) == sorted(job["phase"] for job in jobs):
                return
            assert time.monotonic() < end, f"{phases} not reached within {seconds} s: {jobs}"
            time.sleep(0.05)

    def open_tab(self) -> None:
        """Click the tool-bar entry."""
        self.ask("click", menu=TOOL_BAR, label="Open3DForge")

    def press(self, button: str) -> None:
        """Press a button of the tab, or the menu entry that stands in for it."""
        if self.version == "5.6":
            if not self.state()["tab"]:
                self.open_tab()
            self.ask("press", button=f"{button}Button")
        else:
            self.ask("click", menu=TOOLS, label=BUTTONS[button])

    def status(self, wanted: str, seconds: float = 15.0) -> str:
        """The connection's status line once it contains a text."""
        code = "from open3dforge_editor import startup; startup.RUNNING[0].actions.status"
        end = time.monotonic() + seconds
        while wanted not in (seen := str(self.ask("python", code=code))):
            assert time.monotonic() < end, f"{wanted!r} not in {seen!r}"
            time.sleep(0.05)
        return seen


def free_port() -> int:
    """A TCP port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
