"""The server put together: settings, queue, work and services; started, announced, and stopped without loss."""

import signal
import threading
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from open3dforge.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    transfers_pb2,
    transfers_pb2_grpc,
)

from bridge_server.errors import Conflict, InputError
from bridge_server.jobs.artifacts import JobFolders
from bridge_server.jobs.database import Database
from bridge_server.jobs.desk import Admission, JobDesk
from bridge_server.jobs.events import Happening
from bridge_server.jobs.job import InputFile, JobSpec, Outcome
from bridge_server.jobs.scheduler import Assignment, Scheduler
from bridge_server.jobs.store import JobStore
from bridge_server.jobs.uploads import UploadLimits, Uploads
from bridge_server.pipeline.preset_library import PresetLibrary, default_library
from bridge_server.service.auth import Authentication, Gate
from bridge_server.service.catalogue_servicer import CatalogueServicer
from bridge_server.service.discovery import announce, withdraw
from bridge_server.service.job_servicer import MOST_WATCHERS, JobServicer
from bridge_server.service.server_servicer import ServerServicer
from bridge_server.service.status import ErrorTranslation
from bridge_server.service.transfer_servicer import TransferServicer
from bridge_server.settings import MIB, Settings, load_users

THREADS = MOST_WATCHERS + 64
"""Made when needed; a watcher holds one as long as it watches."""
HOUSEKEEPING_S = 600.0
LAST_CALLS_S = 1.0
"""How long calls in progress may go on once the jobs are put back into the queue."""
SERVICES = (
    jobs_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
    transfers_pb2.DESCRIPTOR.services_by_name["TransferService"].full_name,
    catalogue_pb2.DESCRIPTOR.services_by_name["CatalogueService"].full_name,
    server_pb2.DESCRIPTOR.services_by_name["ServerService"].full_name,
)


class Workshop(Protocol):
    """Who checks new jobs and does them; ``jobs.forge.Forge`` is the product's."""

    def admit(self, spec: JobSpec, inputs: tuple[InputFile, ...], folder: Path) -> Admission:
        """See ``desk.Admit``."""

    def work(self, assignment: Assignment, on_event: Callable[[Happening], None], cancel: threading.Event) -> Outcome:
        """See ``scheduler.Work``."""

    def close(self) -> None:
        """Let go of worker processes and models."""


@dataclass(slots=True, kw_only=True)
class RunningServer:
    """A server that answers."""

    address: str
    """Host and port that clients connect to."""
    _server: grpc.Server
    _health: health.HealthServicer
    _scheduler: Scheduler
    _store: JobStore
    _uploads: Uploads
    _database: Database
    _workshop: Workshop
    _data: Path
    _stopping: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Return once the server has stopped."""
        self._stopped.wait()

    def stop(self, grace_s: float = 5.0) -> None:
        """Put running jobs back into the queue, end all calls, and let go of everything. A second call waits."""
        with self._stopping:
            if self._stopped.is_set():
                return
            self._health.enter_graceful_shutdown()
            self._scheduler.stop(grace_s)
            self._store.close_watches()
            self._server.stop(LAST_CALLS_S).wait()
            self._workshop.close()
            withdraw(self._data)
            self._database.close()
            self._stopped.set()

    def keep_house(self) -> None:
        """Remove expired uploads now and then, until the server has stopped."""
        while not self._stopped.wait(HOUSEKEEPING_S):
            self._uploads.expire()


def start_server(
    settings: Settings, workshop: Workshop | None = None, library: PresetLibrary | None = None
) -> RunningServer:
    """Start a server and return once it answers.

    Raises ``Conflict`` where the port or the data folder is in use, ``InputError`` for certificates that cannot be
    read.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    gate = Gate(load_users(settings))
    library = library or default_library()
    database = Database(settings.data)
    try:
        workshop = workshop or _forge(settings, library)
        return _assembled(settings, gate, library, database, workshop)
    except BaseException:
        if workshop is not None:
            workshop.close()
        database.close()
        raise


def serve_forever(settings: Settings, workshop: Workshop | None = None) -> None:
    """Serve until SIGTERM or SIGINT; says on standard output where it listens."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    running = start_server(settings, workshop)
    print(f"open3dforge listening on {running.address}", flush=True)  # noqa: T201 - whoever started it reads this
    while not asked.wait(1.0):  # a bounded wait, so that Windows hands signals to Python
        continue
    running.stop()


def _assembled(
    settings: Settings, gate: Gate, library: PresetLibrary, database: Database, workshop: Workshop
) -> RunningServer:
    store = JobStore(database)
    folders = JobFolders(database, settings.data / "jobs")
    folders.sweep(store.ids())
    uploads = Uploads(database, settings.data / "uploads", _limits(settings), store.now)
    uploads.expire()
    quota = settings.gpu_seconds_a_day
    scheduler = Scheduler(store, folders, workshop.work, concurrent=settings.concurrent_jobs, gpu_seconds_a_day=quota)
    desk = JobDesk(store, folders, uploads, scheduler, workshop.admit, gpu_seconds_a_day=quota)
    server = _grpc_server(settings, gate)
    registrations: tuple[tuple[Callable[[object, grpc.Server], None], object], ...] = (
        (jobs_pb2_grpc.add_JobServiceServicer_to_server, JobServicer(desk, store, gate)),
        (transfers_pb2_grpc.add_TransferServiceServicer_to_server, TransferServicer(desk, uploads, folders, gate)),
        (catalogue_pb2_grpc.add_CatalogueServiceServicer_to_server, CatalogueServicer(library)),
        (server_pb2_grpc.add_ServerServiceServicer_to_server, ServerServicer(settings, desk, store, library, gate)),
    )
    for register, servicer in registrations:
        register(servicer, server)
    pulse = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(pulse, server)
    reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    address = _bind(server, settings)
    running = RunningServer(
        address=address,
        _server=server,
        _health=pulse,
        _scheduler=scheduler,
        _store=store,
        _uploads=uploads,
        _database=database,
        _workshop=workshop,
        _data=settings.data,
    )
    scheduler.start()
    server.start()
    for name in ("", *SERVICES):
        pulse.set(name, health_pb2.HealthCheckResponse.SERVING)
    announce(settings.data, address, tls=settings.tls_certificate is not None)
    threading.Thread(target=running.keep_house, name="housekeeping", daemon=True).start()
    return running


def _grpc_server(settings: Settings, gate: Gate) -> grpc.Server:
    options = [
        ("grpc.max_receive_message_length", settings.message_mib * MIB),
        ("grpc.max_send_message_length", settings.message_mib * MIB),
        ("grpc.so_reuseport", 0),  # a second server must not share the port unnoticed
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]
    pool = futures.ThreadPoolExecutor(THREADS, thread_name_prefix="call")
    # The first interceptor is the outermost: a call without a token never gets to a servicer.
    return grpc.server(pool, interceptors=[Authentication(gate), ErrorTranslation()], options=options)


def _bind(server: grpc.Server, settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    wanted = f"{host}:{settings.port}"
    try:
        if settings.tls_certificate is None or settings.tls_key is None:
            port = server.add_insecure_port(wanted)
        else:
            port = server.add_secure_port(wanted, _credentials(settings.tls_certificate, settings.tls_key))
    except RuntimeError as error:
        raise Conflict(
            "cannot listen there; another program may have the port.",
            subject=wanted,
            remedy="Choose another port, or 0 for a free one.",
            reason="ADDRESS_IN_USE",
        ) from error
    return f"{host}:{port}"


def _credentials(certificate: Path, key: Path) -> grpc.ServerCredentials:
    try:
        return grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", subject=str(error.filename)) from error


def _limits(settings: Settings) -> UploadLimits:
    return UploadLimits(
        file_bytes=settings.upload_mib * MIB,
        total_bytes=settings.upload_total_mib * MIB,
        expiry=timedelta(hours=settings.upload_expiry_h),
    )


def _forge(settings: Settings, library: PresetLibrary) -> Workshop:
    from bridge_server.jobs.forge import build_forge

    return build_forge(settings, library)
