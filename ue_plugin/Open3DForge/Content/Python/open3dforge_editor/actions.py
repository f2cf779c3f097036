"""What the menu entries and the tab's buttons do. On the game thread."""

import re
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import unreal

from open3dforge_editor import dialogs, sources
from open3dforge_editor.forging import Forge
from open3dforge_editor.job_list import EditorJob, ForgeRequest, JobList, Phase
from open3dforge_editor.server_types import ServerSummary
from open3dforge_editor.settings import EditorSettings, load_settings, save_settings
from unreal_scripts.asset_import.content import assets

TAG = "Open3DForge."


@dataclass
class Actions:
    """Everything a click can start."""

    forge: Forge
    jobs: JobList
    settings_file: Path
    work_folder: Path
    status: str = "Not tested yet."
    status_watchers: list[Callable[[], None]] = field(default_factory=list)

    @property
    def settings(self) -> EditorSettings:
        """As they stand in the file now."""
        return load_settings(self.settings_file)

    def new_request(self, destination: str = "") -> EditorJob | None:
        """Forge from files that the user picks."""
        settings = self.settings
        folder = destination or str(
            unreal.EditorUtilityLibrary.get_current_content_browser_path() or settings.destination
        )
        return self._ask_and_start(
            ForgeRequest("", settings.preset, folder, import_when_done=settings.import_when_done)
        )

    def forge_textures(self, textures: list[unreal.Texture2D]) -> EditorJob | None:
        """Forge from one to four textures; names that end in front, back, left or right say which side they show."""
        if not textures:
            return None
        settings = self.settings
        try:
            photos = tuple(
                (sources.texture_file(texture, self.work_folder / "exported"), view)
                for texture, view in zip(textures, views_of([str(t.get_name()) for t in textures]), strict=True)
            )
        except (sources.ExportFailed, ValueError) as error:
            dialogs.tell("Open3DForge", str(error))
            return None
        request = ForgeRequest(
            asset_name=asset_name_of(str(textures[0].get_name())),
            preset=settings.preset,
            destination=folder_of(textures[0]),
            photos=photos,
            import_when_done=settings.import_when_done,
        )
        return self._ask_and_start(request)

    def reforge_mesh(self, mesh: unreal.StaticMesh) -> EditorJob | None:
        """New LODs, collision and maps for a mesh that is there; it is updated in place."""
        try:
            file = sources.static_mesh_file(mesh, self.work_folder / "exported")
        except sources.ExportFailed as error:
            dialogs.tell("Open3DForge", str(error))
            return None
        settings = self.settings
        request = ForgeRequest(
            asset_name=asset_name_of(str(mesh.get_name())),
            preset=settings.preset,
            destination=folder_of(mesh),
            mesh=file,
            import_when_done=settings.import_when_done,
        )
        return self._ask_and_start(request)

    def forge_again(self, asset: unreal.Object) -> EditorJob | None:
        """Open the request that an asset came from with its settings, to change some of them."""
        package = assets().get_metadata_tag(asset, TAG + "Package")
        before = next((job for job in self.jobs.jobs if job.package is not None and str(job.package) == package), None)
        if before is not None:
            return self._ask_and_start(replace(before.request, destination=folder_of(asset)))
        request = ForgeRequest(
            asset_name=assets().get_metadata_tag(asset, TAG + "Asset"),
            preset=assets().get_metadata_tag(asset, TAG + "Preset") or self.settings.preset,
            destination=folder_of(asset),
            import_when_done=self.settings.import_when_done,
        )
        return self._ask_and_start(request)

    def show_report(self, asset: unreal.Object) -> bool:
        """Open the package's report page in the browser."""
        package = assets().get_metadata_tag(asset, TAG + "Package")
        return self.open_report(Path(package)) if package else False

    def open_report(self, package: Path) -> bool:
        """Open ``report.html`` of a package folder."""
        page = package / "report.html"
        if not page.is_file():
            dialogs.tell("Open3DForge", f"{page} is not there any more. Forge the asset again to get a new report.")
            return False
        return webbrowser.open(page.as_uri())

    def edit_settings(self) -> None:
        """Show the settings, save them, and test the connection with them."""
        changed = dialogs.ask_settings(self.settings)
        if changed is None:
            return
        try:
            save_settings(self.settings_file, changed)
        except OSError as error:
            dialogs.tell("Open3DForge", f"{self.settings_file}: {error.strerror}. The settings were not saved.")
            return
        self.test_connection()

    def test_connection(self, *, keep_status: bool = False) -> None:
        """Ask the server who it is; the answer, or the remedy, becomes the status line.

        With ``keep_status`` the line stays as it is until the answer comes.
        """
        settings = self.settings
        if not keep_status:
            self._set_status(f"Asking {settings.server} ...")

        def answered(answer: object) -> None:
            if isinstance(answer, ServerSummary):
                self._set_status(
                    f"Connected to {settings.server}: version {answer.version}, {answer.devices or 'CPU'}, "
                    f"{answer.running_jobs} running, {answer.queued_jobs} waiting, {answer.quota}."
                )
            else:
                self._set_status(str(answer))
            unreal.log(f"Open3DForge: {self.status}")

        self.forge.ask(settings, lambda server: server.summary(), answered)

    def cancel_latest(self) -> None:
        """Cancel the newest job that still runs."""
        job = next((job for job in self.jobs.jobs if not job.phase.is_over), None)
        if job is not None:
            self.forge.cancel(job)

    def retry_latest(self) -> None:
        """Retry the newest job that failed or was cancelled."""
        job = next((job for job in self.jobs.jobs if job.phase in (Phase.FAILED, Phase.CANCELLED)), None)
        if job is not None:
            self.forge.retry(job, self.settings)

    def import_latest(self) -> None:
        """Import the newest package that is ready."""
        job = next((job for job in self.jobs.jobs if job.package is not None and job.phase.is_over), None)
        if job is not None:
            self.forge.import_package(job)

    def report_latest(self) -> None:
        """Open the report of the newest package."""
        job = next((job for job in self.jobs.jobs if job.package is not None), None)
        if job is not None and job.package is not None:
            self.open_report(job.package)

    def _set_status(self, status: str) -> None:
        self.status = status
        for watcher in tuple(self.status_watchers):
            watcher()

    def _ask_and_start(self, request: ForgeRequest) -> EditorJob | None:
        wanted = dialogs.ask_request(request)
        if wanted is None:
            return None
        if not wanted.photos and wanted.mesh is None:
            dialogs.tell("Open3DForge", "Choose at least one picture, or a mesh file.")
            return None
        return self.forge.start(wanted, self.settings)


def asset_name_of(name: str) -> str:
    """An asset's name without its prefix and suffixes: ``T_Cup_front_BC`` becomes ``Cup``."""
    bare = re.sub(r"^(T|SM|SK|MI|M)_", "", name)
    return re.sub(r"(_(BC|N|ORM|D|front|back|left|right))+$", "", bare, flags=re.IGNORECASE) or bare


def views_of(names: list[str]) -> list[str]:
    """The side that each texture shows, by its name; one alone is the front. Raises ``ValueError`` where two clash."""
    if len(names) > len(dialogs.VIEWS):
        raise ValueError(f"{len(names)} textures are selected; at most four views make one asset.")
    if len(names) == 1:
        return ["front"]  # an asset needs a front, whatever the picture is called
    found = [next((view for view in dialogs.VIEWS if name.lower().endswith(view)), "") for name in names]
    free = [view for view in dialogs.VIEWS if view not in found]
    views = [view or free.pop(0) for view in found]
    if len(set(views)) != len(views):
        raise ValueError(
            f"Two of the textures show the same side: {', '.join(names)}. Name them _front, _back, _left, _right."
        )
    return views


def folder_of(asset: unreal.Object) -> str:
    """Content folder of an asset."""
    return str(asset.get_path_name()).partition(".")[0].rpartition("/")[0]
