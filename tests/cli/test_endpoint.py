"""Which server is meant, and that a token never travels in the clear."""

import json
from pathlib import Path

import pytest

from bridge_server.cli.endpoint import find_endpoint
from bridge_server.errors import ConnectionFailed, InputError


@pytest.mark.parametrize(
    ("server", "address", "tls"),
    [
        ("127.0.0.1:50551", "127.0.0.1:50551", False),
        ("localhost:1", "localhost:1", False),
        ("[::1]:50551", "[::1]:50551", False),
        ("forge.example.org:443", "forge.example.org:443", True),
        ("192.0.2.7:50551", "192.0.2.7:50551", True),
        ("grpcs://127.0.0.1:50551", "127.0.0.1:50551", True),
        ("grpc://192.0.2.7:50551", "192.0.2.7:50551", False),
    ],
)
def test_plain_on_loopback_and_tls_elsewhere(server: str, address: str, tls: bool) -> None:
    found = find_endpoint(server, "", None)
    assert (found.address, found.tls) == (address, tls)


@pytest.mark.parametrize("server", ["nonsense", ":50551", "host:", "host:port", "host:0", "host:65536", "http://a:1"])
def test_what_is_no_address_is_refused_by_name(server: str) -> None:
    with pytest.raises(InputError) as caught:
        find_endpoint(server, "", None)
    assert "127.0.0.1:50551" in caught.value.remedy


def test_a_token_is_never_sent_in_the_clear_to_another_machine() -> None:
    with pytest.raises(InputError, match="unencrypted"):
        find_endpoint("grpc://192.0.2.7:50551", "a-token", None)
    assert find_endpoint("grpc://127.0.0.1:50551", "a-token", None).token == "a-token"


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", '{"schema": "open3dforge.server.v9", "address": "127.0.0.1:1"}']
)
def test_without_a_readable_announcement_no_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setenv("OPEN3DFORGE_HOME", str(tmp_path))
    if content is not None:
        (tmp_path / "server.json").write_text(content)
    with pytest.raises(ConnectionFailed, match=r"\./forge serve"):
        find_endpoint("", "", None)


def test_the_announced_server_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPEN3DFORGE_HOME", str(tmp_path))
    told = {"schema": "open3dforge.server.v1", "address": "127.0.0.1:4", "pid": 1, "tls": True, "version": "0"}
    (tmp_path / "server.json").write_text(json.dumps(told))
    found = find_endpoint("", "token", None)
    assert (found.address, found.tls, found.token) == ("127.0.0.1:4", True, "token")
