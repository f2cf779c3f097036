"""The server itself over gRPC: what it is, how it is, what it allows."""

import functools
import shutil
from datetime import datetime

import grpc
from open3dforge.v1 import server_pb2, server_pb2_grpc

from bridge_server import __version__
from bridge_server.jobs.desk import JobDesk
from bridge_server.jobs.job import JobState
from bridge_server.jobs.store import JobStore
from bridge_server.pipeline.preset_library import PresetLibrary
from bridge_server.service import convert
from bridge_server.service.auth import Gate
from bridge_server.service.devices import find_devices
from bridge_server.service.diagnostics import diagnose
from bridge_server.settings import MIB, Settings


class ServerServicer(server_pb2_grpc.ServerServiceServicer):
    """Answers about this process and this machine."""

    def __init__(self, settings: Settings, desk: JobDesk, store: JobStore, library: PresetLibrary, gate: Gate) -> None:
        self._settings = settings
        self._desk = desk
        self._store = store
        self._library = library
        self._gate = gate
        self._started = store.now()
        self._devices = functools.cache(find_devices)

    def GetServerInfo(  # noqa: N802 - the contract names it
        self, request: server_pb2.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> server_pb2.GetServerInfoResponse:
        """Version, devices, limits, quota."""
        del request
        user = self._gate.user_calling(context)
        counts = self._store.counts()
        return server_pb2.GetServerInfoResponse(
            version=__version__,
            devices=[convert.device_message(device) for device in self._devices()],
            limits=server_pb2.Limits(
                upload_bytes=self._settings.upload_mib * MIB,
                upload_total_bytes=self._settings.upload_total_mib * MIB,
                message_bytes=self._settings.message_mib * MIB,
                concurrent_jobs=self._settings.concurrent_jobs,
                upload_expiry_seconds=self._settings.upload_expiry_h * 3600,
            ),
            quota=convert.quota_message(user, self._desk.quota(user)),
            start_time=convert.timestamp(self._started),
            queued_jobs=counts[JobState.QUEUED],
            running_jobs=counts[JobState.RUNNING],
        )

    def GetDiagnostics(  # noqa: N802
        self, request: server_pb2.GetDiagnosticsRequest, context: grpc.ServicerContext
    ) -> server_pb2.GetDiagnosticsResponse:
        """Everything a job needs."""
        del request, context
        findings = [convert.finding_message(each) for each in diagnose(self._library, self._settings.data)]
        return server_pb2.GetDiagnosticsResponse(diagnostics=findings)

    def GetMetrics(  # noqa: N802
        self, request: server_pb2.GetMetricsRequest, context: grpc.ServicerContext
    ) -> server_pb2.GetMetricsResponse:
        """Figures for monitoring."""
        del request, context
        return server_pb2.GetMetricsResponse(text=self._metrics(self._store.now()))

    def _metrics(self, now: datetime) -> str:
        disk = shutil.disk_usage(self._settings.data)
        jobs = [f'open3dforge_jobs{{state="{state}"}} {count}' for state, count in self._store.counts().items()]
        lines = [
            "# HELP open3dforge_info Version of the server.",
            "# TYPE open3dforge_info gauge",
            f'open3dforge_info{{version="{__version__}"}} 1',
            "# HELP open3dforge_uptime_seconds Seconds since the server was started.",
            "# TYPE open3dforge_uptime_seconds gauge",
            f"open3dforge_uptime_seconds {(now - self._started).total_seconds():.3f}",
            "# HELP open3dforge_jobs Jobs in each state.",
            "# TYPE open3dforge_jobs gauge",
            *jobs,
            "# HELP open3dforge_disk_bytes Size and free space of the disk with the data folder.",
            "# TYPE open3dforge_disk_bytes gauge",
            f'open3dforge_disk_bytes{{kind="total"}} {disk.total}',
            f'open3dforge_disk_bytes{{kind="free"}} {disk.free}',
        ]
        return "\n".join(lines) + "\n"
