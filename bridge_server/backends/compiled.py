"""Loops compiled by Numba: loaded when they are needed, kept compiled in the cache folder.

The folder is named by the digest of all such modules, because Numba does not notice that a function in another file,
which it compiled into this one, has changed. ``python -m bridge_server.backends.compiled`` compiles ahead of time what
decimation, previews and levels of detail need; ``./forge`` does it at set-up. What few ask for, as rows of quads, is
compiled at its first use.
"""

import hashlib
import importlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from bridge_server.backends.table import Availability
from bridge_server.home import cache_home

if TYPE_CHECKING:
    from bridge_server.values.mesh import Mesh

PACKAGE = "bridge_server.backends.mesh_filter"


@cache
def compiled_loops(name: str) -> ModuleType:
    """Import a module of compiled loops by its name without the ending ``_kernels``."""
    from numba import config

    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent / "mesh_filter").glob("*_kernels.py")):
        digest.update(path.read_bytes())
    config.CACHE_DIR = str(cache_home() / "numba" / digest.hexdigest()[:16])
    return importlib.import_module(f"{PACKAGE}.{name}_kernels")


def compiler_availability() -> Availability:
    """Whether the compiler of such loops is installed."""
    try:
        if find_spec("numba") is not None:
            return Availability(available=True, detail=f"numba {version('numba')}, CPU")
    except (PackageNotFoundError, ValueError):
        pass
    return Availability(available=False, detail="the package numba is not installed.", remedy="pip install numba")


def small_sheet(height: float) -> "Mesh":
    """A wavy sheet of 12 by 12 vertices, one apart, to compile loops on."""
    import numpy as np

    from bridge_server.values.mesh import Mesh

    u, v = np.meshgrid(np.arange(12), np.arange(12), indexing="ij")
    a = (u[:-1, :-1] * 12 + v[:-1, :-1]).reshape(-1)
    faces = np.concatenate([np.stack([a, a + 12, a + 1], 1), np.stack([a + 1, a + 12, a + 13], 1)]).astype(np.int32)
    places = np.stack([u, v, height * np.sin(u) * np.cos(v)], axis=-1).reshape(-1, 3)
    return Mesh(positions_m=places.astype(np.float32), faces=faces)


def compile_all() -> None:
    """Run the mesh filters of the shipped presets once on a small mesh, which compiles all they need."""
    import numpy as np

    from bridge_server.backends.mesh_filter.base import SeamedMesh
    from bridge_server.backends.mesh_filter.quadric import QuadricFilter
    from bridge_server.backends.mesh_filter.quick import QuickFilter
    from bridge_server.run import SilentRun

    sheet = small_sheet(1.0)
    places, faces = sheet.positions_m.astype(np.float64), sheet.faces
    # One seam, along u = 6: wedges of the upper side have coordinates of their own.
    wedges = np.concatenate([np.arange(144), np.arange(72, 84)])
    upper = faces[(faces >= 72).all(axis=1)]
    apart = np.where((upper >= 72) & (upper < 84), upper + 72, upper)
    seamed = SeamedMesh(
        positions=places,
        uvs=places[wedges, :2] + np.where(np.arange(156) < 144, 0.0, 20.0)[:, None],
        points=wedges.astype(np.int32),
        faces=np.concatenate([faces[(faces < 84).all(axis=1)], apart]).astype(np.int32),
    )
    QuadricFilter().collapse_with_seams(seamed, (60,), np.inf, SilentRun())
    for mesh_filter in (QuadricFilter(), QuickFilter()):
        mesh_filter.decimate(sheet, 60, SilentRun())
    QuickFilter().piece_count(sheet)


if __name__ == "__main__":
    compile_all()
