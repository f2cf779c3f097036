"""Which server a command talks to, and how: address, transport security and token."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from bridge_server.errors import ConnectionFailed, InputError
from bridge_server.home import data_home

PLAIN, SECURE = "grpc://", "grpcs://"
HOW_TO_START = "Start one with ./forge serve, or name one with --server host:port."


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server as a client sees it."""

    address: str
    """``host:port``."""
    tls: bool = False
    token: str = ""
    authority: Path | None = None
    """PEM file of the authority that signed the certificate; None: the system's authorities."""


def find_endpoint(server: str, token: str, authority: Path | None) -> Endpoint:
    """The server that the options name, else the one that runs on this machine's data folder.

    An address without a scheme means plain text on loopback and TLS elsewhere. Raises ``InputError`` for a wrong
    address and for a token that would travel in the clear, ``ConnectionFailed`` where no server is known.
    """
    if authority is not None and not authority.is_file():
        raise InputError("there is no such file.", subject=str(authority), remedy="Give --ca a PEM file.")
    if not server:
        return _local_endpoint(token, authority)
    scheme = next((known for known in (PLAIN, SECURE) if server.startswith(known)), "")
    address = server.removeprefix(scheme)
    host = _host_of(address)
    tls = scheme == SECURE or (not scheme and not _is_loopback(host))
    if token and not tls and not _is_loopback(host):
        message = "the token would be sent unencrypted to another machine."
        raise InputError(message, subject=server, remedy=f"Use {SECURE}{address}.")
    return Endpoint(address=address, tls=tls, token=token, authority=authority)


def _local_endpoint(token: str, authority: Path | None) -> Endpoint:
    """The server that announced itself in the data folder."""
    from bridge_server.service.discovery import discover

    found = discover(data_home())
    if found is None:
        raise ConnectionFailed("no server runs on this machine.", remedy=HOW_TO_START)
    return Endpoint(address=found.address, tls=found.tls, token=token, authority=authority)


def _host_of(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536 or "/" in host:
        remedy = "Write host:port, for example 127.0.0.1:50551."
        raise InputError("is no server address.", subject=address, remedy=remedy)
    return host.strip("[]")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
