"""A server with toy work, in this process, on a free loopback port."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from bridge_server.service.server import RunningServer, start_server
from bridge_server.settings import load_settings
from tests.service.calls import Calls
from tests.service.toy import Toy

Serve = Callable[..., RunningServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers; all are stopped at the end."""
    started: list[RunningServer] = []

    def start(**settings: object) -> RunningServer:
        chosen = {"data": tmp_path / "data", "port": 0, **settings}
        running = start_server(load_settings(environment={}, **chosen), Toy())
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop(grace_s=1.0)


@pytest.fixture
def connect() -> Iterator[Callable[..., Calls]]:
    """Open channels; all are closed at the end."""
    opened: list[grpc.Channel] = []

    def open_channel(address: str, token: str = "") -> Calls:
        channel = grpc.insecure_channel(address)
        opened.append(channel)
        return Calls(channel, (("authorization", f"Bearer {token}"),) if token else ())

    yield open_channel
    for channel in opened:
        channel.close()


@pytest.fixture
def calls(serve: Serve, connect: Callable[..., Calls]) -> Calls:
    """A server with usual settings, and calls to it."""
    return connect(serve().address)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Calls, Path]]:
    """One server for all the tests of a module that leave nothing behind, and its data folder."""
    data = tmp_path_factory.mktemp("shared")
    running = start_server(load_settings(environment={}, data=data, port=0, upload_mib=1), Toy())
    with grpc.insecure_channel(running.address) as channel:
        yield Calls(channel), data
    running.stop(grace_s=1.0)
