"""``forge editors``, ``forge import`` and ``forge exec``: running editors, reached by Unreal's own remote execution."""

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.errors import ConnectionFailed, InputError, StageFailed

if TYPE_CHECKING:
    from unreal_scripts.remote_execution import Endpoint

EditorName = Annotated[
    str,
    typer.Option("--editor", help="Project name of the editor, or its start; not needed where only one is running."),
]
Group = Annotated[
    str,
    typer.Option(
        "--group",
        envvar="OPEN3DFORGE_EDITOR_GROUP",
        help="Multicast group endpoint, as in the editor's settings.",
        show_default=True,
    ),
]
Interfaces = Annotated[
    list[str] | None,
    typer.Option(
        "--interface",
        envvar="OPEN3DFORGE_EDITOR_INTERFACES",
        help="Address of a network interface to look on; default: this machine's loopback and the system's choice.",
        show_default=False,
    ),
]
DEFAULT_GROUP = "239.0.0.1:6766"
DEFAULT_FOLDER = "/Game/Forged"


def editors(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, max=60.0, help="How long to listen for answers.")] = 2.0,
    group: Group = DEFAULT_GROUP,
    interfaces: Interfaces = None,
    as_json: options.AsJson = False,
) -> None:
    """List the Unreal Editors that run on this machine and listen to remote execution."""
    from unreal_scripts.remote_execution import find_editors
    from unreal_scripts.remote_execution.discovery import diagnosis

    endpoint = endpoint_of(group, interfaces)
    with translated():
        found = find_editors(endpoint, seconds)
    if as_json:
        output.emit(
            {
                "editors": [
                    {"project": node.project_name, "engine": node.engine_version, "id": node.node_id} for node in found
                ]
            }
        )
    elif found:
        rows = [[node.project_name, node.engine_version, node.machine or node.address, node.node_id] for node in found]
        output.table(["project", "engine", "machine", "id"], rows)
    if not found:
        raise ConnectionFailed(diagnosis(endpoint, seconds), subject="editors")


def import_package(
    package: Annotated[Path, typer.Argument(help="Package folder or its zip.")],
    *,
    editor: EditorName = "",
    destination: Annotated[str, typer.Option(help="Content folder to import into.")] = DEFAULT_FOLDER,
    skeleton: Annotated[str, typer.Option(help="Skeleton asset to bind a skeletal mesh to.")] = "",
    group: Group = DEFAULT_GROUP,
    interfaces: Interfaces = None,
    as_json: options.AsJson = False,
) -> None:
    """Import a package into a running editor; the editor stays usable meanwhile."""
    value = send(package, destination, editor, endpoint_of(group, interfaces), skeleton, as_json=as_json)
    show_import(value, as_json=as_json)


def execute(
    code: Annotated[str, typer.Argument(help="Python to run in the editor, or the path of a .py file with --file.")],
    *,
    editor: EditorName = "",
    as_file: Annotated[bool, typer.Option("--file", help="CODE is the path of a file on this machine.")] = False,
    deadline: Annotated[float, typer.Option(min=1.0, help="Seconds to wait for the answer.")] = 60.0,
    group: Group = DEFAULT_GROUP,
    interfaces: Interfaces = None,
    as_json: options.AsJson = False,
) -> None:
    """Run Python in a running editor; print its output and the value of its last expression."""
    import unreal_scripts
    from unreal_scripts.remote_execution import connect

    script = Path(unreal_scripts.__file__).with_name("run_code.py")
    if as_file and not Path(code).is_file():
        raise InputError("there is no such file.", subject=code, remedy="Name a .py file, or leave --file out.")
    arguments: dict[str, object] = {"path": str(Path(code).resolve())} if as_file else {"code": code}
    with translated(), connect(editor, endpoint_of(group, interfaces)) as session:
        answer = session.run_script(script, arguments, deadline_s=deadline)
    assert isinstance(answer, dict)
    if as_json:
        output.emit({"result": answer["result"], "output": answer["output"]})
        return
    if answer["output"]:
        output.say(str(answer["output"]).rstrip("\n"))
    if answer["result"] is not None:
        output.say(str(answer["result"]))


def send(
    package: Path, destination: str, editor: str, endpoint: "Endpoint", skeleton: str = "", *, as_json: bool
) -> dict[str, object]:
    """Check a package, unpack it where it is a zip, and have an editor import it."""
    from unreal_scripts.send_to_editor import send_package

    folder = unpacked(package)
    _refuse_damaged(folder)
    told: Callable[[float, str], None] | None = None
    if not as_json:
        told = _tell
    with translated():
        return send_package(
            folder,
            destination,
            editor,
            endpoint=endpoint,
            on_progress=told,
            skeleton_path=skeleton,
            verify_digests=False,
        )


def show_import(value: dict[str, object], *, as_json: bool) -> None:
    """What the editor made of the package, and what it did not take over."""
    if as_json:
        output.emit({"import": value})
        return
    verb = "Updated" if value["updated"] else "Imported"
    output.say(f"{verb} {value['mesh_path']}")
    output.say(
        f"LODs {value['lod_count']} ({value['lod_triangles']} triangles), collision shapes {value['collision_count']}, "
        f"height {float(str(value['height_cm'])):.1f} cm, material {value['material_path']}"
    )
    findings = value["findings"]
    assert isinstance(findings, list)
    for finding in findings:
        output.say(f"{finding['severity']}: {finding['message']}")


def unpacked(package: Path) -> Path:
    """The package's folder; a zip is unpacked beside itself, unless its folder is there already."""
    if package.is_dir():
        return package
    if not zipfile.is_zipfile(package):
        raise InputError("is neither a package folder nor its zip.", subject=str(package), remedy="See ./forge check.")
    folder = package.with_suffix("")
    if folder.is_dir():
        return folder
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise InputError(
                    "holds a path that leaves the package.", subject=str(package), remedy="Forge it again."
                )
        archive.extractall(folder)
    return folder


def endpoint_of(group: str, interfaces: list[str] | None) -> "Endpoint":
    """Where to look for editors. Raises ``InputError`` where the group is no ``address:port``."""
    from unreal_scripts.remote_execution import Endpoint

    address, _, port = group.rpartition(":")
    if not address or not port.isdigit():
        raise InputError("is no ADDRESS:PORT.", subject=f"--group {group}", remedy=f"For instance {DEFAULT_GROUP}.")
    chosen = tuple(part for entry in interfaces or () for part in entry.split(",") if part)
    if chosen:
        return Endpoint(group=address, port=int(port), interfaces=chosen)
    return Endpoint(group=address, port=int(port))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Errors of the remote execution client as errors of ours."""
    from unreal_scripts.remote_execution import EditorNotFound, EditorSilent, RemoteExecutionError

    try:
        yield
    except (EditorNotFound, EditorSilent) as error:
        raise ConnectionFailed(str(error), subject="editor") from error
    except RemoteExecutionError as error:
        raise StageFailed(str(error), subject="editor", reason="EDITOR_REFUSED") from error


def _refuse_damaged(folder: Path) -> None:
    from bridge_server.package.check import check_package
    from bridge_server.values.checklist import Verdict

    broken = [check for check in check_package(folder).checks if check.verdict is Verdict.FAIL]
    if broken:
        raise InputError(
            f"is not whole: {broken[0].title}: {broken[0].figure}.",
            subject=str(folder),
            remedy="See ./forge check, and forge or download it again.",
        )


def _tell(fraction: float, title: str) -> None:
    output.remark(f"{fraction:4.0%} {title}")
