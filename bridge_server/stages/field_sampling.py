"""Material of the places that were traced.

A field hangs on a mesh of its own: the high poly as it came. Where clean-up or repair left a triangle as it was,
the traced place is a place on the field's mesh already; only the others need a search for the closest point.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int32, Int64

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.stages.surface_places import SceneLocate
from bridge_server.stages.texel_average import interpolated
from bridge_server.values.mesh import HighPoly, Mesh
from bridge_server.values.surface import SurfacePlaces, SurfaceSample
from bridge_server.values.texture import TexelHits


@dataclass(frozen=True, slots=True)
class SameFaces:
    """For each face of one mesh the face of another that has the same corners, in whatever order."""

    faces: Int32[np.ndarray, "faces"]
    """-1 where there is none."""
    corners: Int64[np.ndarray, "faces 3"]
    """For each corner of the other face, which corner of this one lies there."""


def same_faces(mesh: Mesh, other: Mesh) -> SameFaces:
    """Match triangles whose corners are equal to the last bit."""
    if np.array_equal(mesh.faces, other.faces) and np.array_equal(mesh.positions_m, other.positions_m):
        every = np.arange(len(mesh.faces), dtype=np.int32)
        return SameFaces(faces=every, corners=np.tile(np.arange(3), (len(every), 1)))
    everything = np.concatenate([mesh.positions_m, other.positions_m]) + np.float32(0.0)
    number = np.unique(everything.view("V12").reshape(-1), return_inverse=True)[1].reshape(-1)
    mine, theirs = number[mesh.faces], number[other.faces + len(mesh.positions_m)]
    my_order, their_order = np.argsort(mine, axis=1, kind="stable"), np.argsort(theirs, axis=1, kind="stable")
    rows = np.concatenate(
        [np.take_along_axis(theirs, their_order, axis=1), np.take_along_axis(mine, my_order, axis=1)]
    ).astype(np.int32)
    key = np.unique(rows.view("V12").reshape(-1), return_inverse=True)[1].reshape(-1)
    first = np.full(int(key.max(initial=-1)) + 1, -1, np.int32)
    first[key[: len(theirs)][::-1]] = np.arange(len(theirs), dtype=np.int32)[::-1]
    found = first[key[len(theirs) :]]
    place = np.argsort(their_order[np.maximum(found, 0)], axis=1, kind="stable")
    return SameFaces(faces=found, corners=np.take_along_axis(my_order, place, axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class _Matches:
    """The high poly's faces on the mesh of its field, found when they are first asked for."""

    high: Mesh
    elsewhere: SceneLocate
    known: list[tuple[Float32[np.ndarray, "vertices 3"], SameFaces]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]) -> SameFaces:
        with self.lock:
            found = next((same for known, same in self.known if known is positions_m), None)
            if found is None:
                found = same_faces(self.high, Mesh(positions_m=positions_m, faces=faces))
                self.known.append((positions_m, found))
            return found


@dataclass(frozen=True, slots=True)
class _TracedLocate:
    """A ``Locate`` for points that were traced."""

    matches: _Matches
    places: SurfacePlaces

    def __call__(
        self,
        positions_m: Float32[np.ndarray, "vertices 3"],
        faces: Int32[np.ndarray, "faces 3"],
        points_m: Float32[np.ndarray, "points 3"],
    ) -> SurfacePlaces:
        same = self.matches.on(positions_m, faces)
        found = same.faces[self.places.faces]
        weights = np.take_along_axis(self.places.barycentrics, same.corners[self.places.faces], axis=1)
        lost = np.flatnonzero(found < 0)
        if len(lost):
            nearest = self.matches.elsewhere(positions_m, faces, points_m[lost])
            found[lost], weights[lost] = nearest.faces, nearest.barycentrics
        return SurfacePlaces(faces=found, barycentrics=weights)


def field_sampler(high_poly: HighPoly, hits: TexelHits, raycaster: Raycaster) -> Callable[[slice], SurfaceSample]:
    """A function that gives the material of a range of hits; several threads may call it."""
    mesh = high_poly.mesh
    corners = mesh.positions_m[mesh.faces]
    matches = _Matches(mesh, SceneLocate(raycaster))

    def sample(rows: slice) -> SurfaceSample:
        faces, weights = hits.high_face[rows], hits.high_weights[rows]
        full = np.concatenate([1.0 - weights.sum(axis=1, keepdims=True), weights], axis=1).astype(np.float32)
        locate = _TracedLocate(matches, SurfacePlaces(faces=faces, barycentrics=full))
        return high_poly.field.sample(interpolated(corners, faces, weights), locate)

    return sample
