"""A server for one command: on a free loopback port, with a token nobody else has, gone when the command ends."""

import contextlib
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridge_server.cli.client import ForgeClient
from bridge_server.cli.endpoint import Endpoint
from bridge_server.cli.signals import termination_raises
from bridge_server.errors import Conflict
from bridge_server.home import data_home

if TYPE_CHECKING:
    from bridge_server.service.server import RunningServer


@contextlib.contextmanager
def private_server() -> Iterator[ForgeClient]:
    """Start a server, yield a client of it, and stop it whatever happens, termination by signal included."""
    token = secrets.token_urlsafe(32)
    with termination_raises():
        running = _start(token)
        try:
            with ForgeClient(Endpoint(address=running.address, token=token)) as client:
                client.connect()
                yield client
        finally:
            running.stop()


def _start(token: str) -> "RunningServer":
    """On the user's data folder, so that finished stages are reused; while another server has it, on one inside it."""
    from bridge_server.service.server import start_server
    from bridge_server.settings import Settings

    settings = Settings(host="127.0.0.1", port=0, token=token, data=data_home())
    try:
        return start_server(settings)
    except Conflict:
        return start_server(Settings(host="127.0.0.1", port=0, token=token, data=data_home() / "private"))
