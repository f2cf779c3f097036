"""From a request to an asset in the content browser: send, watch, download on a worker thread; import on ticks."""

import shutil
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import unreal

from open3dforge_editor.game_thread import GameThreadQueue
from open3dforge_editor.job_list import EditorJob, ForgeRequest, JobList, Phase
from open3dforge_editor.server_types import JobStatus, ServerError, Stopped
from open3dforge_editor.settings import EditorSettings
from unreal_scripts.asset_import import ImportOptions, ImportResult, import_steps
from unreal_scripts.asset_import.errors import ImportCancelled
from unreal_scripts.asset_import.ticking import TickedImport

if TYPE_CHECKING:
    from open3dforge_editor.contract import ForgeServer

RECONNECT_S = (0.5, 1.0, 2.0, 4.0, 8.0)


class Forge:
    """Runs the jobs of this editor. Made and called on the game thread; its threads never touch ``unreal``."""

    def __init__(self, queue: GameThreadQueue, jobs: JobList, work_folder: Path) -> None:
        self._queue = queue
        self._jobs = jobs
        self._work_folder = work_folder
        self._closing = threading.Event()
        self._cancelled: dict[int, threading.Event] = {}
        self._servers: "dict[int, ForgeServer]" = {}
        self._importing: tuple[EditorJob, TickedImport] | None = None
        """One at a time: two imports share the master material, and the roll-back of one must not take it away."""
        self._waiting_imports: list[EditorJob] = []
        self._threads: list[threading.Thread] = []

    def start(self, request: ForgeRequest, settings: EditorSettings) -> EditorJob:
        """Send a request off; returns at once."""
        job = self._jobs.add(request)
        self._launch(job, settings, lambda server: self._send_and_follow(job, server))
        return job

    def resume(self, job: EditorJob, settings: EditorSettings) -> None:
        """Follow a job that an earlier editor session sent off."""
        self._launch(job, settings, lambda server: self._follow(job, server))

    def retry(self, job: EditorJob, settings: EditorSettings) -> None:
        """Once more, from where it got to: the import, the server's job, or the beginning."""
        if job.package is not None and job.package.is_dir():
            self.import_package(job)
            return
        job.message, job.fraction, job.phase = "", 0.0, Phase.SENDING
        self._jobs.changed(job)

        def again(server: "ForgeServer") -> None:
            if not job.server_name:
                self._send_and_follow(job, server)
                return
            # Where only the connection was lost, the server's job went on and needs no retry.
            if server.status(job.server_name).phase in (Phase.FAILED, Phase.CANCELLED):
                server.retry(job.server_name)
            self._follow(job, server)

        self._launch(job, settings, again)

    def cancel(self, job: EditorJob) -> None:
        """Stop a job wherever it is."""
        if job in self._waiting_imports:
            self._waiting_imports.remove(job)
            job.phase, job.message = Phase.CANCELLED, ""
            self._jobs.changed(job)
        if self._importing is not None and self._importing[0] is job:
            self._importing[1].cancel()
        elif job.number in self._cancelled:
            self._cancelled[job.number].set()
            server = self._servers.get(job.number)
            if server is not None and job.server_name:
                self._spawn(lambda: _quietly(lambda: server.cancel(job.server_name)))

    def import_package(self, job: EditorJob) -> None:
        """Import a downloaded package, a step a tick, after the imports that came before. On the game thread."""
        under_way = self._importing is not None and self._importing[0] is job
        if job.package is None or under_way or job in self._waiting_imports:
            return
        job.phase, job.stage, job.fraction, job.message = Phase.IMPORTING, "", 0.0, ""
        if self._importing is not None:
            job.message = "Waits for another import."
            self._waiting_imports.append(job)
        else:
            self._start_import(job, job.package)
        self._jobs.changed(job)

    def _start_import(self, job: EditorJob, package: Path) -> None:
        job.message = ""
        result = ImportResult()
        # The download has just held every byte against the archive's digest.
        steps = import_steps(package, job.request.destination, ImportOptions(verify_digests=False), result)

        def told(fraction: float, title: str) -> None:
            job.fraction, job.stage = fraction, title
            self._jobs.changed(job)

        def ended(error: BaseException | None) -> None:
            self._importing = None
            job.phase = Phase.DONE if error is None else Phase.FAILED
            job.message = result.summary() if error is None else str(error)
            if isinstance(error, ImportCancelled):
                job.phase = Phase.CANCELLED
            elif error is not None:
                unreal.log_error(f"Open3DForge: {job.request.asset_name}: {error}")
            self._jobs.changed(job)
            while self._waiting_imports and self._importing is None:
                following = self._waiting_imports.pop(0)
                if following.package is not None:
                    self._start_import(following, following.package)

        running = TickedImport(steps, told, ended)
        self._importing = (job, running)
        running.start()

    def ask(
        self, settings: EditorSettings, question: "Callable[[ForgeServer], object]", answered: Callable[[object], None]
    ) -> None:
        """Ask the server on a worker thread; ``answered`` gets the answer or the error, on the game thread."""

        def work() -> None:
            try:
                server = connect_server(settings)
                try:
                    answer: object = question(server)
                finally:
                    server.close()
            except Exception as error:  # noqa: BLE001 - whoever asked has to be told
                answer = error
            self._queue.post(lambda: answered(answer))

        self._spawn(work)

    def close(self, wait_s: float = 2.0) -> None:
        """Hang up everywhere, and take back an import that is half done; jobs go on at the server."""
        self._closing.set()
        for server in tuple(self._servers.values()):
            server.close()
        self._waiting_imports.clear()
        if self._importing is not None:
            self._importing[1].stop()
            self._importing = None
        end = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))

    def _launch(self, job: EditorJob, settings: EditorSettings, work: "Callable[[ForgeServer], None]") -> None:
        self._cancelled[job.number] = threading.Event()

        def run() -> None:
            try:
                server = connect_server(settings)
            except ServerError as error:
                self._show(job, Phase.FAILED, str(error))
                return
            self._servers[job.number] = server
            try:
                work(server)
            except Stopped:
                self._show(job, Phase.CANCELLED, "")
            except (ServerError, OSError, ValueError) as error:
                self._show(job, Phase.FAILED, str(error))
            except Exception as error:  # noqa: BLE001 - a job must not stay under way for ever
                self._show(job, Phase.FAILED, f"{type(error).__name__}: {error}. Please report this.")
            finally:
                self._servers.pop(job.number, None)
                server.close()

        self._spawn(run)

    def _spawn(self, work: Callable[[], None]) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=work, name="open3dforge", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _stopped(self, job: EditorJob) -> bool:
        return self._closing.is_set() or self._cancelled[job.number].is_set()

    def _send_and_follow(self, job: EditorJob, server: "ForgeServer") -> None:
        name = server.submit(job.request, str(uuid.uuid4()), lambda: self._stopped(job))

        def took() -> None:
            job.server_name, job.phase = name, Phase.QUEUED
            self._jobs.changed(job)

        self._queue.post(took)
        if self._cancelled[job.number].is_set():
            server.cancel(name)  # the cancel came before the job had a name
        self._follow(job, server, name)

    def _follow(self, job: EditorJob, server: "ForgeServer", name: str = "") -> None:
        name = name or job.server_name
        sequence = 0
        waits = iter(RECONNECT_S)
        while True:
            try:
                for seen in server.watch(name, sequence):
                    sequence = seen
                    waits = iter(RECONNECT_S)
                    if self._closing.is_set():
                        raise Stopped
                    self._show_status(job, server.status(name))
                break
            except ServerError as error:
                wait_s = next(waits, None)
                if self._closing.is_set():
                    raise Stopped from error
                if error.retriable and wait_s is None:
                    raise ServerError(f"{error} The job is kept there: Retry goes on with it.") from error
                if not error.retriable:
                    raise
                self._show(job, job.phase, f"Connection lost, trying again in {wait_s:g} s.")
                self._closing.wait(wait_s)
        status = server.status(name)
        self._show_status(job, status)
        if status.phase is Phase.DOWNLOADING:
            self._fetch(job, server, name)

    def _fetch(self, job: EditorJob, server: "ForgeServer", name: str) -> None:
        folder = self._work_folder / name.rpartition("/")[2]
        thumbnail = server.download_thumbnail(name, folder, lambda: self._stopped(job))
        package = server.download_package(name, folder, lambda: self._stopped(job))

        def arrived() -> None:
            job.thumbnail, job.package, job.phase = thumbnail, package, Phase.READY
            self._jobs.changed(job)
            if job.request.import_when_done:
                self.import_package(job)

        self._queue.post(arrived)

    def _show_status(self, job: EditorJob, status: JobStatus) -> None:
        def show() -> None:
            job.phase, job.stage, job.fraction = status.phase, status.stage, status.fraction
            job.eta_s, job.message = status.eta_s, status.message
            self._jobs.changed(job)

        self._queue.post(show)

    def _show(self, job: EditorJob, phase: Phase, message: str) -> None:
        def show() -> None:
            job.phase, job.message = phase, message
            self._jobs.changed(job)

        self._queue.post(show)


def connect_server(settings: EditorSettings) -> "ForgeServer":
    """Open a channel. On a worker thread: importing grpc takes a good part of a second. Raises ``ServerError``."""
    try:
        from open3dforge_editor.contract import ForgeServer
    except ImportError as error:
        raise ServerError(
            f"The plugin's network library is missing ({error}). Install the plugin from the zip that "
            "`./forge plugin build` makes for this system, or let the editor install its Python requirements."
        ) from error
    try:
        return ForgeServer(settings.server, settings.token, settings.certificate)
    except OSError as error:
        raise ServerError(f"{settings.certificate}: {error.strerror}. Set the right certificate file.") from error


def forget_downloads(work_folder: Path, older_than_s: float = 14 * 24 * 3600.0) -> None:
    """Remove packages that were downloaded long ago."""
    if not work_folder.is_dir():
        return
    limit = time.time() - older_than_s
    for folder in work_folder.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < limit:
            shutil.rmtree(folder, ignore_errors=True)


def _quietly(work: Callable[[], None]) -> None:
    try:
        work()
    except ServerError:
        return
