"""Samples of two surfaces and their nearest places on each other, found by walking (see ``walking_kernels``)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from bridge_server.backends.compiled import compiled_loops
from bridge_server.blocks import over_blocks

SAMPLES_PER_FACE = 10
"""Samples of the dense mesh for each face of the light one, ``MOST_SAMPLES`` in all at most."""
DENSE_PER_SAMPLE = 20
"""There is a sample for so many dense faces at least: fewer would miss what stands out of a rough surface."""
MOST_SAMPLES = 150_000
RIDGE_SHARE = 0.5
"""How much of their weight vertices have by the ridges there (see ``ridges``)."""
FACE_PLACES = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]])
"""Where a light face is sampled; its corners are sampled too, once for each vertex."""
FACE_PLACE_WEIGHTS = np.array([0.45, 0.15, 0.15, 0.15])
VERTEX_WEIGHT = 0.1
BLOCK = 1 << 13
SEED = 20_011


@dataclass(frozen=True, slots=True, eq=False)
class Walkable:
    """A surface with the faces around its vertices listed. Places and faces may change in place."""

    surface: Any

    @classmethod
    def of(cls, places: Float64[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]) -> "Walkable":
        """List the faces around vertices; the arrays are kept."""
        starts, around = np.zeros(len(places) + 1, np.int64), np.zeros(faces.size, np.int32)
        found = cls(compiled_loops("walking").Surface(places, faces, starts, around))
        found.list_again()
        return found

    def list_again(self) -> None:
        """After faces have changed."""
        compiled_loops("walking").list_around(self.surface.faces, self.surface.starts, self.surface.around)

    @property
    def places(self) -> Float64[np.ndarray, "vertices 3"]:
        """Of the vertices."""
        return np.asarray(self.surface.places)

    @property
    def faces(self) -> Int32[np.ndarray, "faces 3"]:
        """Corners."""
        return np.asarray(self.surface.faces)

    @property
    def first_face(self) -> Int32[np.ndarray, "vertices"]:
        """Some face at each vertex; every vertex has one."""
        return np.asarray(self.surface.around[self.surface.starts[:-1]])

    def normals(self) -> Float64[np.ndarray, "faces 3"]:
        """Unit normals, zeros where there is no area."""
        normals = np.zeros((len(self.faces), 3))
        compiled_loops("walking").face_normals(self.places, self.faces, normals)
        return normals

    def areas(self) -> Float64[np.ndarray, "faces"]:
        """Area of each face."""
        corners = self.places[self.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return np.asarray(np.linalg.norm(cross, axis=1) / 2.0)

    def at(self, faces: np.ndarray, shares: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
        """Places by face and barycentric weights."""
        return np.asarray(np.einsum("nk,nkd->nd", shares, self.places[self.faces[faces]]))


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """Samples of one surface and their nearest places on the other."""

    found: Any
    weights: Float64[np.ndarray, "samples"]
    """Share of the area; they sum to 1."""

    @classmethod
    def of(
        cls,
        points: Float64[np.ndarray, "samples 3"],
        start: Int32[np.ndarray, "samples"],
        weights: Float64[np.ndarray, "samples"],
    ) -> "Gap":
        """Walks will start at the faces given."""
        shares, squares = np.zeros((len(points), 3)), np.zeros(len(points))
        faces = np.ascontiguousarray(start, np.int32)
        return cls(compiled_loops("walking").Found(points, faces, shares, squares), weights)

    @property
    def points(self) -> Float64[np.ndarray, "samples 3"]:
        """The samples; may be changed in place."""
        return np.asarray(self.found.points)

    def walk(self, onto: Walkable, rows: Int64[np.ndarray, "some"] | None = None) -> None:
        """Find the nearest places anew; only of some samples where ``rows`` are given."""
        locate = compiled_loops("walking").locate
        rows = np.arange(len(self.points)) if rows is None else rows
        over_blocks(lambda block: locate(onto.surface, self.found, rows, block.start, block.stop), len(rows), BLOCK)

    def find(self, onto: Walkable, lost: int) -> None:
        """Find the nearest places anew, and search for those of so many samples that are farthest then."""
        self.walk(onto)
        self.search(onto, lost)

    def search(self, onto: Walkable, count: int) -> None:
        """Search the whole surface for the samples that are farthest: a walk may have stopped in a fold."""
        search_all = compiled_loops("walking").search_all
        count = min(count, len(self.points))
        rows = np.argpartition(-self.found.squares, count - 1)[:count]
        over_blocks(lambda block: search_all(onto.surface, self.found, rows, block.start, block.stop), count, 16)


def farthest_at_faces(
    count: int, *sampled: tuple[Int32[np.ndarray, "samples"] | Int64[np.ndarray, "samples"], Gap]
) -> Float64[np.ndarray, "faces"]:
    """The largest distance of a sample at each of so many faces; each gap comes with the faces of its samples."""
    farthest = np.zeros(count)
    for faces, gap in sampled:
        np.maximum.at(farthest, faces, np.sqrt(gap.found.squares))
    return farthest


def border_vertices(
    faces: Int32[np.ndarray, "faces 3"], opposite: Int32[np.ndarray, "faces 3"], count: int
) -> Bool[np.ndarray, "vertices"]:
    """Which of so many vertices lie at an edge without a face beyond, where ``opposite`` is negative."""
    face, corner = np.nonzero(opposite < 0)
    lies = np.zeros(count, np.bool_)
    lies[faces[face, corner]] = True
    lies[faces[face, (corner + 1) % 3]] = True
    return lies


@dataclass(frozen=True, slots=True, eq=False)
class DenseSamples:
    """A dense mesh and its samples for a light one."""

    surface: Walkable
    points: Float64[np.ndarray, "samples 3"]
    faces: Int64[np.ndarray, "samples"]
    """In which dense face each lies."""
    normals: Float64[np.ndarray, "samples 3"]
    """Of that face; zeros at vertices, where the surface has several."""
    weights: Float64[np.ndarray, "samples"]
    """Share of the area, of vertices partly of the ridges; they sum to 1."""


def dense_samples(dense: Walkable, light_faces: int, ridges: Float64[np.ndarray, "vertices"]) -> DenseSamples:
    """Vertices of the dense mesh, evenly picked, and random places on its faces.

    ``RIDGE_SHARE`` of the weight of the vertices goes by the ridges there, and not by area.
    """
    random = np.random.default_rng(SEED)
    wanted = min(max(SAMPLES_PER_FACE * light_faces, len(dense.faces) // DENSE_PER_SAMPLE), MOST_SAMPLES)
    areas = dense.areas()
    vertices = np.arange(0, len(dense.places), max(1, round(2 * len(dense.places) / wanted)))
    inside = max(wanted - len(vertices), wanted // 3)
    upto = np.cumsum(areas)
    face = np.minimum(np.searchsorted(upto, random.random(inside) * upto[-1], side="right"), len(areas) - 1)
    shares = random.dirichlet((1.0, 1.0, 1.0), inside)
    around = np.bincount(dense.faces.reshape(-1), np.repeat(areas, 3), len(dense.places))[vertices]
    part = len(vertices) / (len(vertices) + inside)
    around = around / max(around.sum(), 1e-300)
    if (whole := ridges[vertices].sum()) > 0.0:
        around = (1.0 - RIDGE_SHARE) * around + RIDGE_SHARE * ridges[vertices] / whole
    weights = np.concatenate([part * around, np.full(inside, (1.0 - part) / inside)])
    points = np.concatenate([dense.places[vertices], dense.at(face, shares)])
    faces = np.concatenate([dense.first_face[vertices].astype(np.int64), face])
    normals = dense.normals()[faces]
    normals[: len(vertices)] = 0.0
    return DenseSamples(dense, points, faces, normals, weights)


def back_places(
    light: Walkable,
) -> tuple[Int64[np.ndarray, "samples"], Float64[np.ndarray, "samples 3"], Float64[np.ndarray, "samples"]]:
    """Face, barycentric weights and weight of the samples of a light mesh: on its faces, then its vertices."""
    count, first = len(light.faces), light.first_face
    corner = np.argmax(light.faces[first] == np.arange(len(first))[:, None], axis=1)
    faces = np.concatenate([np.repeat(np.arange(count), len(FACE_PLACES)), first])
    shares = np.concatenate([np.tile(FACE_PLACES, (count, 1)), np.eye(3)[corner]])
    areas = light.areas()
    around = np.bincount(light.faces.reshape(-1), np.repeat(areas / 3.0, 3), len(first))
    weights = np.concatenate([np.outer(areas, FACE_PLACE_WEIGHTS).reshape(-1), VERTEX_WEIGHT * around])
    return faces, shares, weights / max(weights.sum(), 1e-300)
