"""Settings of the server: ``configs/server.toml``, then the environment, then the command line, each over the last.

Every field can be set in the file by its name and in the environment as ``OPEN3DFORGE_<NAME>``. Unknown keys of the
file are refused by name, values by type and range. Away from loopback the server does not start without TLS and a
token.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from bridge_server.errors import InputError
from bridge_server.home import data_home

SHIPPED_FILE = Path(__file__).resolve().parents[1] / "configs" / "server.toml"
PREFIX = "OPEN3DFORGE_"
SHORTEST_TOKEN = 16
MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Bounds:
    """Least and greatest value of a numeric setting."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a server can be told."""

    host: str = "127.0.0.1"
    """Address to listen at."""
    port: Annotated[int, Bounds(0, 65535)] = 50551
    """Port to listen at; 0 takes a free one."""
    tls_certificate: Path | None = None
    """PEM file with the certificate chain."""
    tls_key: Path | None = None
    """PEM file with the private key."""
    token: str = ""
    """The token that clients must send; its user is called ``owner``."""
    tokens_file: Path | None = None
    """TOML file of lines ``user = "token"``, so that each user has jobs and a quota of their own."""
    data: Path = field(default_factory=data_home)
    """Folder of the job database, uploads, packages and the content store."""
    executor: str = "processes"
    """Where stages run: ``processes`` or ``inline``."""
    concurrent_jobs: Annotated[int, Bounds(1, 64)] = 1
    """Jobs at the same time."""
    workers: Annotated[int, Bounds(0, 256)] = 0
    """Worker processes for stages; 0: one for each concurrent job."""
    memory_budget_mib: Annotated[int, Bounds(0, 16 * MIB)] = 0
    """Memory all worker processes together may keep between stages, for loaded models; 0: 2 GiB each."""
    store_gib: Annotated[int, Bounds(1, MIB)] = 50
    """How large the store of stage results may grow; what was unused for longest goes first."""
    cancel_grace_s: Annotated[float, Bounds(0.1, 600)] = 2.0
    """Seconds a stage may take to notice that it is cancelled before its process is ended."""
    gpu_seconds_a_day: Annotated[float, Bounds(0, 86_400_000)] = 0.0
    """GPU seconds a user may spend a day; 0: unlimited."""
    upload_mib: Annotated[int, Bounds(1, MIB)] = 1024
    """Largest file that can be uploaded."""
    upload_total_mib: Annotated[int, Bounds(1, 64 * MIB)] = 8192
    """Room for all uploads of one user that have not expired."""
    upload_expiry_h: Annotated[float, Bounds(0.01, 8760)] = 24.0
    """Hours after which an upload that nobody touched is removed."""
    message_mib: Annotated[int, Bounds(1, 64)] = 4
    """Largest message; chunks of files must stay below it."""

    @property
    def on_loopback(self) -> bool:
        """True where only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def load_settings(
    file: Path | None = None, environment: Mapping[str, str] | None = None, **overrides: object
) -> Settings:
    """Settings from ``file`` (None: ``OPEN3DFORGE_CONFIG``, else the shipped file), environment and ``overrides``.

    ``overrides`` are typed values by field name; None stands for "not given". Raises ``InputError`` that names
    file and key.
    """
    environment = os.environ if environment is None else environment
    if file is None:
        chosen = environment.get(f"{PREFIX}CONFIG", "").strip()
        file = Path(chosen).expanduser() if chosen else SHIPPED_FILE if SHIPPED_FILE.is_file() else None
    values: dict[str, Any] = _from_file(file) if file is not None else {}
    values |= _from_environment(environment)
    values |= {
        name: _converted(name, value, f"setting {name}") for name, value in overrides.items() if value is not None
    }
    settings = replace(Settings(), **values)
    _refuse_exposure(settings)
    return settings


def load_users(settings: Settings) -> dict[str, str]:
    """User name by token; empty where the server asks for none. Raises ``InputError``."""
    users = {settings.token: "owner"} if settings.token else {}
    if settings.tokens_file is None:
        return users
    for user, token in _read_toml(settings.tokens_file).items():
        subject = f"{settings.tokens_file}, user {user}"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", user):
            raise InputError("a user name has 1 to 64 letters, digits, _ . @ -", subject=subject)
        if not isinstance(token, str):
            raise InputError("the token must be text in quotes.", subject=subject)
        _refuse_short_token(token, subject)
        if token in users:
            raise InputError(f"has the same token as {users[token]}.", subject=subject)
        users[token] = user
    if not users:
        raise InputError("names no user.", subject=str(settings.tokens_file), remedy='Add a line: alice = "token"')
    return users


def _from_file(file: Path) -> dict[str, object]:
    known = [field.name for field in fields(Settings)]
    values: dict[str, object] = {}
    for name, value in _read_toml(file).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
            raise InputError("unknown setting.", subject=f"{file}: {name}", remedy=remedy)
        values[name] = _converted(name, value, f"{file}: {name}")
    return values


def _read_toml(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", subject=str(file)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is no valid TOML: {error}.", subject=str(file)) from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for item in fields(Settings):
        variable = PREFIX + item.name.upper()
        text = environment.get(variable, "").strip()
        if text:
            values[item.name] = _converted(item.name, _parsed(item.name, text, variable), variable)
    return values


def _parsed(name: str, text: str, subject: str) -> object:
    """Text of the environment as the type of the field."""
    kind = _kinds()[name][0]
    try:
        return kind(text) if kind in (int, float) else text
    except ValueError as error:
        raise InputError(f"{text!r} is no number.", subject=subject) from error


def _kinds() -> dict[str, tuple[type, Bounds | None]]:
    """Type and bounds of every field; an optional path counts as a path."""
    kinds: dict[str, tuple[type, Bounds | None]] = {}
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        kinds[name] = (Path if kind == Path | None else kind, extras[0] if extras else None)
    return kinds


def _converted(name: str, value: object, subject: str) -> object:
    kind, bounds = _kinds()[name]
    if kind is Path and isinstance(value, str | Path):
        return Path(value).expanduser().resolve()
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"must be {_spoken(kind)}, not {value!r}.", subject=subject)
    if bounds and isinstance(value, int | float) and not bounds.low <= value <= bounds.high:
        raise InputError(f"must be {bounds.low:g} to {bounds.high:g}, not {value}.", subject=subject)
    return value


def _spoken(kind: type) -> str:
    return {int: "a whole number", float: "a number", Path: "a path in quotes"}.get(kind, "text in quotes")


def _refuse_exposure(settings: Settings) -> None:
    """Refuse what would let strangers in, or promises that cannot be kept."""
    if settings.executor not in ("processes", "inline"):
        raise InputError("must be processes or inline.", subject="setting executor")
    if settings.token:
        _refuse_short_token(settings.token, "setting token")
    pair = (settings.tls_certificate, settings.tls_key)
    if (pair[0] is None) != (pair[1] is None):
        raise InputError("go together; one of them is missing.", subject="settings tls_certificate and tls_key")
    for path in (*pair, settings.tokens_file):
        if path is not None and not path.is_file():
            raise InputError("there is no such file.", subject=str(path))
    if settings.on_loopback:
        return
    missing = []
    if pair[0] is None:
        missing.append("TLS (tls_certificate and tls_key)")
    if not settings.token and settings.tokens_file is None:
        missing.append("token (token or tokens_file)")
    if missing:
        raise InputError(
            f"is no loopback address, and there is no {' and no '.join(missing)}.",
            subject=f"host {settings.host}",
            remedy="Set what is missing, or listen at 127.0.0.1.",
            reason="INSECURE_ADDRESS",
        )


def _refuse_short_token(token: str, subject: str) -> None:
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"needs at least {SHORTEST_TOKEN} plain characters without spaces.",
            subject=subject,
            remedy='Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
