"""Points of a textured level are moved until it lies nearest to the mesh it was made of, and its texture as meant.

As in Hoppe et al., "Mesh optimization" (1993): samples of the original find their nearest place on the level, samples
of the level theirs on the original, and points move by least squares of these distances. Beside that each sample of the
level wants to lie, along the surface, where the original shows its texture coordinates: nearness alone leaves points
free to slide in flat parts. Samples that stay far get heavier from round to round; the round with the least product of
mean, mean and largest distance is kept, the state before the first among them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.base import FitSamples
from bridge_server.backends.mesh_filter.fitting import (
    LEAST_COSINE,
    LEAST_FOLD,
    LOST_BACK,
    LOST_LATER,
    aim,
    damped_moves,
    heavier,
)
from bridge_server.backends.mesh_filter.sampling import Gap, Walkable, border_vertices
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh

ROUNDS, SOLVER_ROUNDS = 4, 8
TEXTURE_WEIGHT = 2.0
"""How much it matters that texture lies where it is meant, over the distance of the surfaces."""
FACE_WEIGHT, EDGE_WEIGHT, POINT_WEIGHT = 0.45, 0.45, 0.1
"""What the samples in the middles of the faces of a level, on its edges and at its points weigh together."""


@dataclass(slots=True, eq=False)
class LevelFit:
    """Both surfaces in shares of the diagonal, and the samples between them; changes in place."""

    level: Walkable
    original: Walkable
    samples: FitSamples
    meant: Float64[np.ndarray, "back 3"]
    opposite: Int32[np.ndarray, "faces 3"]
    held: Bool[np.ndarray, "points"]
    onto_level: Gap
    onto_original: Gap
    boost: Float64[np.ndarray, "samples"]
    """How much heavier each sample has become, those of the original first."""

    @property
    def distances(self) -> Float64[np.ndarray, "samples"]:
        """Of all samples."""
        return np.sqrt(np.concatenate([self.onto_level.found.squares, self.onto_original.found.squares]))

    @property
    def weights(self) -> Float64[np.ndarray, "samples"]:
        """Of all samples, before any became heavier."""
        return np.concatenate([self.onto_level.weights, self.onto_original.weights])

    @property
    def score(self) -> float:
        """Mean, mean and largest distance, multiplied."""
        distances = self.distances
        return float((distances @ self.weights) ** 2 * distances.max())


def fitted(level: Mesh, original: Mesh, samples: FitSamples, run: Run) -> Float64[np.ndarray, "points 3"]:
    """See ``SeamedFilter.fit``."""
    low, diagonal = original.bounds_m[0].astype(np.float64), original.diagonal_m or 1.0
    fit = begun(level, original, samples)
    least, best = fit.score, fit.level.places.copy()
    for turn in range(ROUNDS):
        run.checkpoint(turn / ROUNDS, "fitting the level")
        fit.boost *= heavier(fit.distances)
        move_points(fit)
        if fit.score < least:
            least, best = fit.score, fit.level.places.copy()
    return best * diagonal + low


def begun(level: Mesh, original: Mesh, samples: FitSamples) -> LevelFit:
    """Nearest places are found from the faces that the samples name."""
    low, diagonal = original.bounds_m[0].astype(np.float64), original.diagonal_m or 1.0
    here, there = (
        Walkable.of((mesh.positions_m.astype(np.float64) - low) / diagonal, mesh.faces.astype(np.int32))
        for mesh in (level, original)
    )
    opposite = np.zeros(level.faces.shape, np.int32)
    compiled_loops("turning").opposite_faces(here.surface, opposite)
    held = border_vertices(here.faces, opposite, len(level.positions_m))
    points = (samples.points_m.astype(np.float64) - low) / diagonal
    fit = LevelFit(
        level=here,
        original=there,
        samples=samples,
        meant=(samples.meant_m - low) / diagonal,
        opposite=opposite,
        held=held,
        onto_level=Gap.of(points, samples.onto_level, samples.weights),
        onto_original=Gap.of(
            here.at(samples.faces, samples.shares), samples.onto_original, np.zeros(len(samples.faces))
        ),
        boost=np.ones(len(points) + len(samples.faces)),
    )
    find_again(fit)
    return fit


def find_again(fit: LevelFit) -> None:
    """Nearest places of all samples, after points have moved."""
    samples = fit.samples
    fit.onto_level.find(fit.level, LOST_LATER)
    fit.onto_original.points[...] = fit.level.at(samples.faces, samples.shares)
    fit.onto_original.weights[...] = level_weights(fit.level.areas(), samples)
    fit.onto_original.find(fit.original, LOST_BACK)


def level_weights(areas: Float64[np.ndarray, "faces"], samples: FitSamples) -> Float64[np.ndarray, "back"]:
    """By the area of the face of each sample."""
    beside = areas[samples.faces]
    ends = np.cumsum([len(areas), samples.edges])
    parts = zip((FACE_WEIGHT, EDGE_WEIGHT, POINT_WEIGHT), np.split(beside, ends), strict=True)
    return np.concatenate([weight * part / max(part.sum(), 1e-300) for weight, part in parts])


def move_points(fit: LevelFit) -> None:
    """One step of least squares, taken back where it turns or folds a face."""
    moving, surface, normals = compiled_loops("fitting"), fit.level.surface, fit.level.normals()
    samples, count = fit.samples, len(fit.boost)
    faces, shares = samples.faces, samples.shares
    one, two = spanning(normals[faces])
    shift = fit.meant - fit.onto_original.points
    texture = TEXTURE_WEIGHT * fit.onto_original.weights
    pulls = moving.Pulls(
        faces=np.concatenate([fit.onto_level.found.faces, faces, faces, faces]),
        shares=np.concatenate([fit.onto_level.found.shares, shares, shares, shares]),
        directions=np.concatenate([np.zeros((count, 3)), one, two]),
        residuals=np.concatenate([np.zeros(count), (one * shift).sum(axis=1), (two * shift).sum(axis=1)]),
        weights=np.concatenate([fit.weights * fit.boost, texture, texture]),
    )
    near = fit.original.at(fit.onto_original.found.faces, fit.onto_original.found.shares)
    aim(pulls, surface, normals, fit.onto_level.points, near)
    before = fit.level.places.copy()
    fit.level.places[...] += damped_moves(surface, pulls, fit.held.view(np.uint8), SOLVER_ROUNDS)
    every = np.arange(len(surface.faces))
    moving.undo_turns(surface, fit.opposite, every, before, normals, LEAST_COSINE, LEAST_FOLD)
    find_again(fit)


def spanning(normals: Float64[np.ndarray, "n 3"]) -> tuple[Float64[np.ndarray, "n 3"], Float64[np.ndarray, "n 3"]]:
    """Two unit directions at right angles to each normal and each other; zeros where the normal is none."""
    axis = np.eye(3)[np.argmin(np.abs(normals), axis=1)]
    one = np.cross(normals, axis)
    one /= np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-300)
    return one, np.cross(normals, one)
