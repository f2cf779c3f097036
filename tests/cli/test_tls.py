"""The command line over TLS, with a certificate that only ``--ca`` makes trustworthy."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bridge_server.cli import client as client_module
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.service.server import start_server
from bridge_server.settings import Settings
from tests.cli.small_workshop import SmallWorkshop

TOKEN = "a-token-for-the-tests"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_with_tls_is_reached_with_its_authority_and_not_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        [*command, "-addext", names, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60
    )
    settings = Settings(port=0, data=tmp_path / "data", token=TOKEN, tls_certificate=certificate, tls_key=key)
    monkeypatch.setattr(client_module, "CONNECT_LIMIT_S", 1.0)
    running = start_server(settings, workshop=SmallWorkshop())
    try:
        server = ["--server", f"grpcs://{running.address}", "--token", TOKEN]
        assert run(["jobs", *server, "--ca", str(certificate)]) == ExitCode.OK
        assert run(["jobs", *server]) == ExitCode.UNREACHABLE
        assert "with TLS" in capsys.readouterr().err
        assert run(["jobs", "--server", running.address, "--token", TOKEN]) == ExitCode.UNREACHABLE
        assert "without TLS" in capsys.readouterr().err
        monkeypatch.setenv("OPEN3DFORGE_HOME", str(tmp_path / "data"))
        assert run(["jobs", "--token", TOKEN, "--ca", str(certificate)]) == ExitCode.OK, "server.json says TLS"
    finally:
        running.stop(1.0)
