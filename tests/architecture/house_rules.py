"""The rules of the house as functions: a source file goes in, sentences about what breaks the rule come out."""

import ast
import re
import sys
from collections.abc import Iterator

from tests.architecture.source_files import SourceFile

LAYERS = (
    ("errors", "run", "blocks"),
    ("values",),
    ("home",),
    ("backends",),
    ("stages",),
    ("package",),
    ("pipeline",),
    ("settings",),
    ("executors",),
    ("jobs",),
    ("service",),
    ("cli", "__main__"),
)
"""From the ground up: a layer may import itself, its neighbours on the same floor, and what lies below."""
FLOORS = {name: floor for floor, names in enumerate(LAYERS) for name in names}
WIRE_FOLDERS = ("bridge_server/service/", "bridge_server/cli/")
WIRE_MODULES = ("grpc", "grpc_health", "grpc_reflection", "grpc_status", "google.protobuf", "google.rpc", "open3dforge")
OUTSIDE_THE_PRODUCT = ("vendor/", "tests/", "benchmarks/")
TORCH_FOLDERS = ("bridge_server/backends/", "vendor/", "training/")
EDITOR_FOLDERS = ("unreal_scripts/", "ue_plugin/")
EDITOR_PACKAGES = {"unreal", "unreal_scripts", "open3dforge_editor"}
HEAVY_MODULES = (
    "coacd",
    "cv2",
    "embreex",
    "fast_simplification",
    "huggingface_hub",
    "manifold3d",
    "numba",
    "onnxruntime",
    "pymeshfix",
    "pymeshlab",
    "safetensors",
    "skimage",
    "torch",
    "transformers",
    "trimesh",
    "warp",
    "xatlas",
)
VENDORED = ("vendor",)
"""Ports of models import torch when they are loaded, so whoever uses one imports it when it is used."""
KERNEL_FILES = (
    "bridge_server/backends/raycaster/embree_kernels.py",
    "bridge_server/backends/raycaster/warp_kernels.py",
    "bridge_server/backends/texels/cover_kernels.py",
    "bridge_server/backends/texels/kernels.py",
    "bridge_server/backends/texels/surface_kernels.py",
    "bridge_server/backends/unwrapper/bitmap_kernels.py",
    *(
        f"bridge_server/backends/mesh_filter/{name}_kernels.py"
        for name in (
            "border",
            "collapse",
            "field",
            "field_folds",
            "field_lines",
            "field_mending",
            "field_merging",
            "field_rows",
            "fitting",
            "quadric",
            "quick",
            "quick_arrays",
            "ridge",
            "seam_collapse",
            "seam_start",
            "seamed",
            "turning",
            "walking",
        )
    ),
)
"""Kernels are decorated functions, so these modules need their compiler to exist; they are imported when used."""
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 70
# Put together from parts, so that this file keeps its own rules.
UNFINISHED = re.compile(
    "|".join([r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bX" + r"XX\b", r"raise NotImplemented" + "Error"])
)
MACHINE_PATH = re.compile(
    "|".join([r"(?<![\w.])/ro" + r"ot/", r"(?<![\w.}])/ho" + r"me/\w", r"/Us" + r"ers/\w", r"(?<![\w.])/wo" + r"rk/"])
)


def import_direction(file: SourceFile) -> Iterator[str]:
    """Imports inside the server point down."""
    layer = _layer(file.path)
    if layer is None:
        return
    for name in file.imports:
        parts = name.split(".")
        if parts[0] != "bridge_server" or len(parts) < 2 or parts[1] not in FLOORS:
            continue
        if FLOORS[parts[1]] > FLOORS[layer]:
            yield (
                f"{file.path} imports {name}: {layer} lies below {parts[1]}. "
                f"Move what both need down to {layer} or below, or hand it in as a parameter."
            )
        if layer == "stages" and parts[1] == "backends" and not _is_protocol(parts):
            yield (
                f"{file.path} imports {name}: a stage knows the protocol of a backend (backends/<kind>/base.py) "
                "and call_isolated, never an implementation. Take the backend as a parameter."
            )


def _is_protocol(parts: list[str]) -> bool:
    return parts[2:3] == ["isolation"] or parts[3:4] == ["base"]


def known_layer(file: SourceFile) -> Iterator[str]:
    """Every module of the server lies on a floor of the house."""
    if (
        file.path.startswith("bridge_server/")
        and file.path != "bridge_server/__init__.py"
        and _layer(file.path) is None
    ):
        yield f"{file.path}: no floor of the house is called that. Put it in a layer, or name the layer in {__name__}."


def wire(file: SourceFile) -> Iterator[str]:
    """The contract's libraries and messages stay at the edge. In the plugin one file may speak it."""
    spoken = [name for name in file.imports if _within(name, WIRE_MODULES)]
    if spoken and not file.path.startswith((*WIRE_FOLDERS, "ue_plugin/")):
        yield f"{file.path} imports {spoken[0]}: grpc and messages belong in service/, cli/ and one file of the plugin."


def torch(file: SourceFile) -> Iterator[str]:
    """Torch stays where models run."""
    if any(_within(name, ("torch",)) for name in file.imports) and not file.path.startswith(TORCH_FOLDERS):
        yield f"{file.path} imports torch: only backends/, vendor/ and training/ may. Put the model behind a backend."


def vendored(file: SourceFile) -> Iterator[str]:
    """A port stands by itself: it knows nothing of the server, and only a backend knows it."""
    for name in file.imports:
        if file.path.startswith("vendor/") and _within(name, ("bridge_server", "unreal_scripts", "open3dforge")):
            yield f"{file.path} imports {name}: a port stands by itself. Hand in what it needs as a parameter."
        if _within(name, VENDORED) and not file.path.startswith(("bridge_server/backends/", *OUTSIDE_THE_PRODUCT)):
            yield f"{file.path} imports {name}: only backends/ may use a port. Put the model behind a backend."


def ray(file: SourceFile) -> Iterator[str]:
    """Ray stays in its executor."""
    if any(_within(name, ("ray",)) for name in file.imports) and file.path != "bridge_server/executors/ray.py":
        yield f"{file.path} imports ray: only executors/ray.py may. Use the Executor protocol."


def editor(file: SourceFile) -> Iterator[str]:
    """What runs in an editor needs nothing that an editor's Python lacks."""
    if not file.path.startswith(EDITOR_FOLDERS):
        return
    for name in file.imports:
        top = name.partition(".")[0]
        may_speak = file.path.startswith("ue_plugin/") and _within(name, WIRE_MODULES)
        if top not in sys.stdlib_module_names and top not in EDITOR_PACKAGES and not may_speak:
            yield f"{file.path} imports {name}: an editor has the standard library and unreal. Do without it."


def relative_imports(file: SourceFile) -> Iterator[str]:
    """Imports are written in full."""
    for node in file.import_statements:
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{file.path}:{node.lineno} imports relatively. Write the full module name."


def heavy_imports(file: SourceFile) -> Iterator[str]:
    """Libraries that are large, native or optional are imported when used."""
    if file.path in KERNEL_FILES or not file.path.startswith("bridge_server/"):
        return
    for name in file.imports_on_load:
        if _within(name, (*HEAVY_MODULES, *VENDORED)):
            yield f"{file.path} imports {name} when it is loaded. Import it inside the function that uses it."


def names(file: SourceFile) -> Iterator[str]:
    """A file's name says what is in it."""
    for part in file.path.removesuffix(".py").split("/"):
        if EMPTY_NAMES & {part.lower(), *part.lower().split("_")}:
            yield f"{file.path}: {part!r} says nothing about what is inside. Name the file by its topic."


def unfinished(file: SourceFile) -> Iterator[str]:
    """Nothing is left for later."""
    for number, line in enumerate(file.text.splitlines(), 1):
        found = UNFINISHED.search(line)
        if found:
            yield f"{file.path}:{number} says {found.group()}. Finish it, or take it out and open an issue."


def lengths(file: SourceFile) -> Iterator[str]:
    """Files and functions that can be read in one go."""
    count = len(file.text.splitlines())
    if count > LONGEST_FILE:
        yield f"{file.path} has {count} lines, more than {LONGEST_FILE}. Split it by topic."
    for node in file.statements:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > LONGEST_FUNCTION:
                yield f"{file.path}:{node.lineno} {node.name} has {size} lines, more than {LONGEST_FUNCTION}. Split it."


def docstrings(file: SourceFile) -> Iterator[str]:
    """Every public module says what it is for."""
    public = not file.path.rpartition("/")[2].startswith("_") or file.path.endswith("/__init__.py")
    if public and file.tree.body and not ast.get_docstring(file.tree):
        yield f"{file.path} has no docstring. Say in a sentence what the module is for."


def machine_paths(file: SourceFile) -> Iterator[str]:
    """No text names a folder of somebody's machine."""
    for number, line in enumerate(file.text.splitlines(), 1):
        found = MACHINE_PATH.search(line)
        if found:
            yield f"{file.path}:{number} names the folder {found.group()}. Use a relative path or a made-up one."


def _layer(path: str) -> str | None:
    parts = path.removesuffix(".py").split("/")
    return parts[1] if parts[0] == "bridge_server" and parts[1] in FLOORS else None


def _within(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)
