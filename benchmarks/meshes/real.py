"""Meshes that people made or scanned. Sources and licences: ``README.md``."""

from functools import partial
from pathlib import Path

from benchmarks.meshes.record import BenchMesh, Expectations, Kind
from bridge_server.run import SilentRun
from bridge_server.stages.load_mesh import LoadMesh
from bridge_server.values.mesh import HighPoly
from bridge_server.values.source import MeshSource

DATA = Path(__file__).parent / "data"
FOX = Path(__file__).parents[2] / "examples" / "fox" / "fox.glb"


def opened(path: Path) -> MeshSource:
    """The file's content."""
    return MeshSource(name=path.name, data=path.read_bytes())


def read(path: Path) -> HighPoly:
    """By the same stage that a job uses."""
    return LoadMesh()(SilentRun(), mesh_source=opened(path))


def _file(name: str, kind: Kind, *, closed: bool = True, hollow: bool = False, suffix: str = "ply") -> BenchMesh:
    return _at(DATA / f"{name}.{suffix}", kind, Expectations(closed=closed, hollow=hollow))


def _at(path: Path, kind: Kind, expectations: Expectations) -> BenchMesh:
    return BenchMesh(
        name=path.stem, kind=kind, load=partial(read, path), source=partial(opened, path), expectations=expectations
    )


REAL: tuple[BenchMesh, ...] = (
    _file("human", Kind.CHARACTER),
    _file("knight", Kind.CHARACTER, closed=False, suffix="glb"),
    _file("spot", Kind.CHARACTER),
    _file("koala", Kind.CHARACTER),
    _file("scorpion", Kind.CHARACTER),
    _at(FOX, Kind.TEXTURED, Expectations(closed=True)),
    _file("boot", Kind.SCAN),
    _file("hammer", Kind.SCAN),
    _file("skull", Kind.SCAN),
    _file("nefertiti", Kind.SCAN),
    _file("demosthenes", Kind.SCAN),
    _file("mountain", Kind.THIN_SHELL, closed=False),
    _file("sword", Kind.THIN_SHELL),
    _file("wingnut", Kind.HARD_SURFACE),
    _file("airplane", Kind.HARD_SURFACE, closed=False),
    _file("crossbow", Kind.HARD_SURFACE, closed=False, suffix="glb"),
    _file("mug", Kind.PROP, hollow=True, suffix="glb"),
    _file("cabinet", Kind.PROP, closed=False, suffix="glb"),
    _file("couch", Kind.PROP, closed=False, suffix="glb"),
    _file("pizza", Kind.TEXTURED, closed=False, suffix="glb"),
)
