"""A client that has reached its server, made from the options that commands share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge_server.cli.client import ForgeClient
from bridge_server.cli.endpoint import find_endpoint


@contextmanager
def connected(server: str, token: str, authority: Path | None) -> Iterator[ForgeClient]:
    """Find the server, reach it, and close the connection at the end."""
    with ForgeClient(find_endpoint(server, token, authority)) as client:
        client.connect()
        yield client
