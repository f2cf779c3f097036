"""From what the user typed to a job: files judged and sent, settings split, the job queued."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from open3dforge.v1 import jobs_pb2

from bridge_server.cli import transfers
from bridge_server.cli.client import ForgeClient
from bridge_server.cli.companion_files import MESH_EXTENSIONS, find_companions
from bridge_server.errors import InputError
from bridge_server.values.image import View

DEFAULT_PRESET = "prop_UE5_standard"
_VIEWS = {
    View.FRONT: jobs_pb2.VIEW_FRONT,
    View.BACK: jobs_pb2.VIEW_BACK,
    View.LEFT: jobs_pb2.VIEW_LEFT,
    View.RIGHT: jobs_pb2.VIEW_RIGHT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Photos by view, or one mesh file."""

    photos: tuple[tuple[View, Path], ...] = ()
    mesh: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the asset shall be."""

    preset: str = DEFAULT_PRESET
    name: str = ""
    overrides: tuple[tuple[str, str], ...] = ()
    """(``stage.field``, value as typed)."""
    generator: str = ""
    priority: int = 0


def parse_inputs(file: Path | None, views: Sequence[str]) -> Inputs:
    """Sort the files into views, or one mesh. Raises ``InputError`` naming the file or option that is wrong."""
    photos: dict[View, Path] = {}
    for text in views:
        word, _, path = text.partition("=")
        if word not in _VIEWS or not path:
            remedy = f"Write --view SIDE=FILE, SIDE one of {', '.join(_VIEWS)}."
            raise InputError("is no view.", subject=f"--view {text}", remedy=remedy)
        if View(word) in photos:
            raise InputError("is given twice.", subject=f"view {word}", remedy="Give each side once.")
        photos[View(word)] = _existing(Path(path))
    if file is not None and _existing(file).suffix.lower() in MESH_EXTENSIONS:
        if photos:
            raise InputError("a job takes a mesh file or photos, not both.", subject=str(file), remedy="Leave one out.")
        return Inputs(mesh=file)
    if file is not None:
        if View.FRONT in photos:
            remedy = f"Say which side {file.name} shows: --view back={file.name}."
            raise InputError("the front is given twice.", subject=str(file), remedy=remedy)
        photos[View.FRONT] = file
    if not photos:
        raise InputError("no file is given.", remedy="Example: ./forge submit cup.png --wait")
    return Inputs(photos=tuple((view, photos[view]) for view in _VIEWS if view in photos))


def parse_overrides(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """``stage.field=value``, or ``quality=hero`` for the preset's own fields, split at the first ``=``.

    Raises ``InputError``; whether the setting exists is for the server to say.
    """
    found = []
    for text in texts:
        setting, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not all(setting.split(".")):
            remedy = "Write --set stage.field=value, for example --set decimate.triangle_count=5000."
            raise InputError("is no setting.", subject=f"--set {text}", remedy=remedy)
        found.append((setting, value))
    return tuple(found)


def submit(client: ForgeClient, inputs: Inputs, wish: Wish, report: transfers.Report) -> jobs_pb2.Job:
    """Send the files and queue the job."""
    spec = jobs_pb2.JobSpec(
        preset=wish.preset,
        asset_name=wish.name,
        generator=wish.generator,
        priority=wish.priority,
        overrides=[jobs_pb2.SettingOverride(setting=setting, value=value) for setting, value in wish.overrides],
    )
    for view, path in inputs.photos:
        spec.photos.add(upload=transfers.upload_file(client, path, report), view=_VIEWS[view])
    if inputs.mesh is not None:
        spec.mesh.CopyFrom(upload_mesh(client, inputs.mesh, report))
    return client.create_job(str(uuid.uuid4()), spec)


def upload_mesh(client: ForgeClient, path: Path, report: transfers.Report) -> jobs_pb2.MeshInput:
    """Send a mesh file and the files beside it that it refers to."""
    mesh = jobs_pb2.MeshInput(upload=transfers.upload_file(client, path, report))
    for relative, found in find_companions(path).items():
        mesh.companions.add(path=relative, upload=transfers.upload_file(client, found, report))
    return mesh


def _existing(path: Path) -> Path:
    if not path.is_file():
        cause = "is a folder." if path.is_dir() else "there is no such file."
        raise InputError(cause, subject=str(path), remedy="Check the path.")
    return path
