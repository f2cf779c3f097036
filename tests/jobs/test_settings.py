"""Settings: typed, named when wrong, and never an open door."""

from pathlib import Path

import pytest

from bridge_server.errors import InputError
from bridge_server.settings import SHIPPED_FILE, Settings, load_settings, load_users

TOKEN = "0123456789abcdef"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(text)
    return path


def test_the_shipped_file_says_what_holds_without_it(tmp_path: Path) -> None:
    home = {"OPEN3DFORGE_DATA": str(tmp_path)}
    assert load_settings(SHIPPED_FILE, home) == load_settings(write(tmp_path, ""), home)


def test_environment_goes_over_file_and_arguments_over_both(tmp_path: Path) -> None:
    file = write(tmp_path, "port = 1000\nconcurrent_jobs = 2\nworkers = 3\n")
    environment = {"OPEN3DFORGE_PORT": "2000", "OPEN3DFORGE_CONCURRENT_JOBS": "4", "OPEN3DFORGE_HOST": "  "}
    settings = load_settings(file, environment, port=3000, host=None)
    assert (settings.port, settings.concurrent_jobs, settings.workers) == (3000, 4, 3)
    assert settings.host == "127.0.0.1"
    by_variable = load_settings(environment={"OPEN3DFORGE_CONFIG": str(file)})
    assert by_variable.port == 1000


def test_a_whole_number_will_do_for_a_number(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "gpu_seconds_a_day = 60"), {}).gpu_seconds_a_day == 60.0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("prot = 1", ["prot", "Did you mean port?"]),
        ("quite_another_thing = 1", ["quite_another_thing", "Known:"]),
        ("port = '1'", ["port", "whole number"]),
        ("port = true", ["port", "whole number"]),
        ("port = 70000", ["port", "0 to 65535"]),
        ("host = 5", ["host", "text"]),
        ("executor = 'ray'", ["executor"]),
        ("port = ", ["TOML"]),
        ("[server]\nport = 1", ["server"]),
        ("token = 'short'", ["token", "16"]),
        ("tls_key = '/nowhere'", ["tls_certificate and tls_key"]),
        ("tokens_file = '/nowhere'", ["/nowhere"]),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        load_settings(write(tmp_path, text), {})
    for part in parts:
        assert part in str(refused.value)


def test_a_wrong_variable_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="OPEN3DFORGE_PORT"):
        load_settings(environment={"OPEN3DFORGE_PORT": "many"})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "forge.example", ""])
def test_away_from_loopback_tls_and_a_token_are_needed(tmp_path: Path, host: str) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_text("c")
    key.write_text("k")
    tls = {"tls_certificate": certificate, "tls_key": key}
    for lacking in ({}, {"token": TOKEN}, tls):
        with pytest.raises(InputError) as refused:
            load_settings(environment={}, host=host or "0.0.0.0", **lacking)
        assert refused.value.reason == "INSECURE_ADDRESS"
    assert load_settings(environment={}, host=host or "0.0.0.0", token=TOKEN, **tls).token == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_nothing_is_needed(host: str) -> None:
    assert load_settings(environment={}, host=host).on_loopback


def test_users_come_from_the_tokens_file(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'ann = "{TOKEN}"\n"bob@x.org" = "{TOKEN}2"\n')
    settings = Settings(tokens_file=tokens, token=f"{TOKEN}3")
    assert load_users(settings) == {TOKEN: "ann", f"{TOKEN}2": "bob@x.org", f"{TOKEN}3": "owner"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "names no user"),
        ("ann = 5", "text"),
        ("ann = 'short'", "16"),
        (f"ann = '{TOKEN}'\nbob = '{TOKEN}'", "same token"),
        (f"'../ann' = '{TOKEN}'", "user name"),
    ],
)
def test_a_wrong_tokens_file_is_refused(tmp_path: Path, text: str, part: str) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(text)
    with pytest.raises(InputError, match=part):
        load_users(Settings(tokens_file=tokens))
