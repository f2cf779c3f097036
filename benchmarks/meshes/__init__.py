"""The meshes that geometry is measured on: real ones with licences, and made ones with the defects of generators.

``MESHES`` lists them all; ``mesh_named`` finds one. Where the real ones come from stands in ``README.md`` beside this
file. The made ones are the same on every machine.
"""

from benchmarks.meshes.generated import GENERATED
from benchmarks.meshes.real import REAL
from benchmarks.meshes.record import BenchMesh, Expectations, Kind

MESHES: tuple[BenchMesh, ...] = (*REAL, *GENERATED)


def mesh_named(name: str) -> BenchMesh:
    """One of them. Raises ``KeyError`` with the names that there are."""
    found = {mesh.name: mesh for mesh in MESHES}
    if name not in found:
        raise KeyError(f"{name}: known are {', '.join(found)}")
    return found[name]


__all__ = ["GENERATED", "MESHES", "REAL", "BenchMesh", "Expectations", "Kind", "mesh_named"]
