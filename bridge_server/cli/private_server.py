"""A server for one command: on a free loopback port, with a token nobody else has, gone when the command ends."""

import contextlib
import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from bridge_server.cli.client import ForgeClient
from bridge_server.cli.endpoint import Endpoint, find_endpoint
from bridge_server.errors import ConnectionFailed
from bridge_server.home import data_home

STOP_S = 5.0


@contextlib.contextmanager
def private_server() -> Iterator[ForgeClient]:
    """Start a server, yield a client of it, and stop it whatever happens, termination by signal included.

    It works on the user's data folder, so that finished stages are reused; where another server has that folder
    already, on one of its own beside it.
    """
    from bridge_server.service.server import start_server
    from bridge_server.settings import Settings

    token = secrets.token_urlsafe(32)
    settings = Settings(host="127.0.0.1", port=0, token=token, data=_free_data_folder())
    with _termination_raises():
        running = start_server(settings)
        try:
            with ForgeClient(Endpoint(address=running.address, token=token)) as client:
                client.connect()
                yield client
        finally:
            running.stop(STOP_S)


def _free_data_folder() -> Path:
    """The data folder, or one inside it while a running server owns it: two servers never share a job queue."""
    try:
        with ForgeClient(find_endpoint("", "", None)) as client:
            client.connect()
    except ConnectionFailed:
        return data_home()
    return data_home() / "private"


@contextlib.contextmanager
def _termination_raises() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into ``KeyboardInterrupt``, so that they too unwind and stop the server."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), _interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
