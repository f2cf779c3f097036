"""Where presets lie: the shipped ones, which nobody changes, and the user's own beside them."""

import contextlib
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from bridge_server.errors import Conflict, DiskFull, InputError, NotFound, PresetError
from bridge_server.home import data_home
from bridge_server.pipeline.preset import Preset
from bridge_server.pipeline.quality import Quality
from bridge_server.pipeline.registry import REGISTRY, Registry
from bridge_server.pipeline.store import is_disk_full

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{digit}" for port in ("com", "lpt") for digit in range(10)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetEntry:
    """One line of a list of presets."""

    name: str
    shipped: bool
    preset: Preset | None
    problem: str = ""
    """Why the document cannot be used, where ``preset`` is None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetLibrary:
    """Presets and qualities by name."""

    shipped: Path
    user: Path
    """Made when the first preset is saved."""
    qualities: Path
    registry: Registry = REGISTRY

    def names(self) -> tuple[str, ...]:
        """All names, the shipped ones first."""
        return (*_stems(self.shipped), *(name for name in _stems(self.user) if not self.is_shipped(name)))

    def is_shipped(self, name: str) -> bool:
        """Whether a preset came with the installation; file systems that ignore case are minded."""
        return name.lower() in (shipped.lower() for shipped in _stems(self.shipped))

    def entries(self) -> tuple[PresetEntry, ...]:
        """Every preset; one whose document is wrong is listed with its problem."""
        found = []
        for name in self.names():
            shipped = self.is_shipped(name)
            try:
                found.append(PresetEntry(name=name, shipped=shipped, preset=self.load(name)))
            except PresetError as error:
                found.append(PresetEntry(name=name, shipped=shipped, preset=None, problem=error.message))
        return tuple(found)

    def load(self, name: str) -> Preset:
        """Raises ``NotFound``, or ``PresetError`` with everything that is wrong in the document."""
        check_name(name)
        folder = self.shipped if name in _stems(self.shipped) else self.user
        try:
            text = (folder / f"{name}.json").read_bytes()
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none"
            raise NotFound("there is no such preset.", subject=f"preset {name!r}", remedy=f"Known: {known}.") from None
        preset = Preset.from_json(text, subject=f"preset {name!r}", registry=self.registry)
        self._check(preset)
        if preset.name != name:
            raise PresetError(f"the document calls itself {preset.name!r}.", subject=f"preset {name!r}")
        return preset

    def save(self, preset: Preset, *, overwrite: bool = False) -> Path:
        """Write a user preset, whole or not at all. Raises ``Conflict`` where the name is taken."""
        check_name(preset.name)
        self._refuse_shipped(preset.name, "changed")
        self._check(preset)
        Preset.from_json(preset.to_json(), subject=f"preset {preset.name!r}", registry=self.registry)
        path = self.user / f"{preset.name}.json"
        taken = [name for name in _stems(self.user) if name.lower() == preset.name.lower()]
        if taken and (not overwrite or taken != [preset.name]):
            raise Conflict(
                "there is a preset of that name already.",
                subject=f"preset {taken[0]!r}",
                remedy="Choose another name, or ask to overwrite it.",
            )
        _write_atomically(path, preset.to_json())
        return path

    def delete(self, name: str) -> None:
        """Remove a user preset. Raises ``Conflict`` for a shipped one and ``NotFound`` where there is none."""
        check_name(name)
        self._refuse_shipped(name, "deleted")
        try:
            (self.user / f"{name}.json").unlink()
        except FileNotFoundError:
            raise NotFound("there is no such preset.", subject=f"preset {name!r}") from None

    def quality_names(self) -> tuple[str, ...]:
        """Names of all qualities."""
        return _stems(self.qualities)

    def quality(self, name: str) -> Quality:
        """Raises ``NotFound`` where there is none of that name."""
        if name not in self.quality_names():
            known = ", ".join(self.quality_names())
            raise NotFound("there is no such quality.", subject=f"quality {name!r}", remedy=f"Known: {known}.")
        return Quality.from_json((self.qualities / f"{name}.json").read_bytes(), subject=f"quality {name!r}")

    def _check(self, preset: Preset) -> None:
        if preset.quality not in self.quality_names():
            known = ", ".join(self.quality_names())
            message = f"quality: {preset.quality!r} is not known; known are {known}."
            raise PresetError(message, subject=f"preset {preset.name!r}")

    def _refuse_shipped(self, name: str, done: str) -> None:
        if self.is_shipped(name):
            message = f"is shipped with Open3DForge and cannot be {done}."
            remedy = "Save it under another name and change that one."
            raise Conflict(message, subject=f"preset {name!r}", remedy=remedy)


def default_library() -> PresetLibrary:
    """The shipped presets of this installation and those of its user."""
    configs = Path(__file__).resolve().parents[2] / "configs"
    return PresetLibrary(shipped=configs / "presets", user=data_home() / "presets", qualities=configs / "quality")


def check_name(name: str) -> None:
    """Raise ``InputError`` where a name could not be a file's name on every system."""
    if not _NAME.fullmatch(name) or name.lower() in _DEVICES:
        raise InputError(
            "is no name for a preset.",
            subject=f"{name!r}",
            remedy="Use 1 to 64 letters, digits, '_' and '-', and no name of a Windows device.",
        )


def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.json") if _NAME.fullmatch(path.stem)))


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if is_disk_full(error):
            raise DiskFull("no space left to save the preset.", subject=str(path.parent)) from error
        message = f"the preset cannot be saved: {error.strerror or error}."
        raise InputError(message, subject=str(path.parent), remedy="Check that the folder can be written.") from error
