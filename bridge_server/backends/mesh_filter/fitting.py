"""Fitting: vertices and edges of a decimated mesh are moved until it lies nearest to the dense one.

A quadric knows planes and not how far they reach. Here samples of the dense mesh find their nearest place on the light
one, and samples of the light one theirs on the dense; vertices move by least squares of these distances (Gauss and
Newton, as in Hoppe et al., "Mesh optimization", 1993), and edges turn where that brings their samples nearer, and the
normals there. Samples that stay far get heavier from round to round, so that the largest distance falls and not the
mean alone. The round with the least product of mean, mean and largest distance is kept, the state before the first
among them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt8

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.borders import Borders, border_pulls, borders_of
from bridge_server.backends.mesh_filter.collapsing import Light, unit_of
from bridge_server.backends.mesh_filter.ridges import ridges_at_vertices, ridges_of
from bridge_server.backends.mesh_filter.sampling import (
    DenseSamples,
    Gap,
    Walkable,
    back_places,
    dense_samples,
    farthest_at_faces,
)
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh

LEAST_ROUNDS, MOST_ROUNDS, ROUND_FACES = 3, 12, 40_000
"""So many rounds are made as ``ROUND_FACES`` holds the faces: light meshes are cheap and win more."""
MOST_FACES = 50_000
"""A mesh of more faces is near enough by its quadrics, and samples would take too long."""
SOLVER_ROUNDS = 12
DAMPING = 0.02
"""Weight that holds a vertex where it is, over that of the samples around it."""
FAR_SHARE, FAR_GAIN = 0.4, 1.0
"""A sample beyond this share of the largest distance gets heavier, by up to this factor a round."""
FAR_WEIGHT = 5.0
"""How much more the dense faces that came out farthest matter in the second collapse."""
LOST, LOST_LATER, LOST_BACK = 256, 24, 8
"""The farthest samples are searched for on the whole mesh: at first and in each round on the light one, and on the
dense one."""
LEAST_COSINE = 0.5
"""How far a face may turn in a round."""
LEAST_FOLD = -0.5
"""Cosine of the normals of neighbours below which an edge counts as folded; no round makes new ones."""
LEAST_GAIN = 0.02
"""Share of its samples' cost that the turn of an edge has to win."""
NORMAL_PRICE = 30.0
"""How much a turn of a normal by one radian costs there, over the square of the mean distance."""


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """How the light mesh was when it lay nearest."""

    score: float
    farthest: float
    """Largest distance of a sample, in shares of the diagonal."""
    places: Float64[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]


@dataclass(slots=True, eq=False)
class Fit:
    """Both surfaces and the samples between them; changes in place."""

    dense: Walkable
    light: Walkable
    held: UInt8[np.ndarray, "vertices"]
    """1 for vertices that stay: corners of borders, and borders that are not fitted."""
    borders: Borders | None
    opposite: Int32[np.ndarray, "faces 3"]
    onto_light: Gap
    onto_dense: Gap
    dense_faces: Int64[np.ndarray, "forward"]
    """Dense face of each sample onto the light mesh."""
    dense_normals: Float64[np.ndarray, "forward 3"]
    """Normal of that face; zeros for samples at vertices."""
    boost: Float64[np.ndarray, "samples"]
    """How much heavier each sample has become, those onto the light mesh first."""

    @property
    def distances(self) -> Float64[np.ndarray, "samples"]:
        """Of all samples, in shares of the diagonal."""
        return np.sqrt(np.concatenate([self.onto_light.found.squares, self.onto_dense.found.squares]))

    @property
    def score(self) -> float:
        """Mean, mean and largest distance, multiplied."""
        distances = self.distances
        return self.mean_of(distances) ** 2 * float(distances.max(initial=0.0))

    def mean_of(self, distances: Float64[np.ndarray, "samples"]) -> float:
        """Mean of both directions."""
        split = len(self.onto_light.weights)
        return float(distances[:split] @ self.onto_light.weights + distances[split:] @ self.onto_dense.weights) / 2.0

    @property
    def turned(self) -> float:
        """Mean chord between the normals of the dense samples and of the light faces they are nearest to.

        0 where no sample has a normal: faces so small beside what was left out that chance passed them by.
        """
        told = np.any(self.dense_normals != 0.0, axis=1)
        if not told.any():
            return 0.0
        apart = self.dense_normals[told] - self.light.normals()[self.onto_light.found.faces[told]]
        return float(np.average(np.linalg.norm(apart, axis=1), weights=self.onto_light.weights[told]))

    def now(self) -> Round:
        """A copy of the light mesh as it is."""
        farthest = float(self.distances.max(initial=0.0))
        return Round(self.score, farthest, self.light.places.copy(), self.light.faces.copy())


def fitted(source: Mesh, light: Light, run: Run) -> Mesh:
    """The light mesh, fitted; it keeps its counts, and the corners of its borders."""
    run.checkpoint(0.0, "fitting")
    return improved(begun(source, light), light, run)


def improved(fit: Fit, light: Light, run: Run, *, turning: bool = True) -> Mesh:
    """The mesh of the best round; without ``turning`` its edges stay."""
    best = best_round(fit, run, turning=turning)
    return Mesh(positions_m=light.unit.metres(best.places), faces=best.faces)


def best_round(fit: Fit, run: Run, *, turning: bool = True) -> Round:
    """Move the vertices that are not held, in so many rounds as the faces allow; the best one."""
    best = fit.now()
    rounds = min(max(ROUND_FACES // len(best.faces), LEAST_ROUNDS), MOST_ROUNDS)
    for turn in range(rounds):
        run.checkpoint(turn / rounds, "fitting")
        if turning:
            turn_edges(fit)
        if turn > 0:
            fit.boost *= heavier(fit.distances)
        move_vertices(fit)
        if fit.score < best.score:
            best = fit.now()
    return best


def heavier(distances: Float64[np.ndarray, "samples"]) -> Float64[np.ndarray, "samples"]:
    """How many times as heavy each sample is to become: those that lie far, up to twice."""
    over = np.clip((distances / max(distances.max(), 1e-300) - FAR_SHARE) / (1.0 - FAR_SHARE), 0.0, 1.0)
    return np.asarray(1.0 + FAR_GAIN * over * over)


def face_weights(source: Mesh, light: Light, fit: Fit) -> Float64[np.ndarray, "faces"]:
    """How much each dense face should matter in another collapse: more where this one came out far away."""
    around = far_around(fit)
    share = around / max(around.max(), 1e-300)
    owner = light.owners[source.faces[:, 0]]
    return np.where(owner >= 0, 1.0 + FAR_WEIGHT * share[owner] ** 2, 1.0)


def far_around(fit: Fit) -> Float64[np.ndarray, "vertices"]:
    """The largest distance of a sample at the faces around each light vertex."""
    here, back = (fit.onto_light.found.faces, fit.onto_light), (back_places(fit.light)[0], fit.onto_dense)
    farthest = farthest_at_faces(len(fit.light.faces), here, back)
    around = np.zeros(len(fit.light.places))
    np.maximum.at(around, fit.light.faces, farthest[:, None])
    return around


def begun(source: Mesh, light: Light, samples: DenseSamples | None = None) -> Fit:
    """Samples, made anew where none are given, find their first places by what became of their vertices."""
    if samples is None:
        dense = surface_of(source)
        samples = samples_of(dense, ridges_of(dense), len(light.faces))
    dense = samples.surface
    slim = Walkable.of(light.places.copy(), light.faces.copy())
    stays = light.owners[dense.faces[samples.faces, 0]] >= 0
    points, of_face, weights = samples.points[stays], samples.faces[stays], samples.weights[stays]
    onto_light = Gap.of(points, slim.first_face[light.owners[dense.faces[of_face, 0]]], weights)
    onto_light.find(slim, LOST)
    one_owned = np.zeros(len(slim.places), np.int64)
    owned = np.flatnonzero(light.owners >= 0)
    one_owned[light.owners[owned]] = owned
    at_vertex = dense.first_face[one_owned]
    faces, shares, back_weights = back_places(slim)
    onto_dense = Gap.of(slim.at(faces, shares), at_vertex[slim.faces[faces, np.argmax(shares, axis=1)]], back_weights)
    borders, held = borders_of(dense, slim, light)
    opposite = np.zeros(slim.faces.shape, np.int32)
    compiled_loops("turning").opposite_faces(slim.surface, opposite)
    boost = np.ones(len(points) + len(faces))
    fit = Fit(dense, slim, held, borders, opposite, onto_light, onto_dense, of_face, samples.normals[stays], boost)
    fit.onto_dense.walk(dense)
    start_again(fit, faces)
    return fit


def surface_of(source: Mesh) -> Walkable:
    """The dense mesh in shares of its diagonal."""
    return Walkable.of(unit_of(source).of(source.positions_m), np.array(source.faces))


def samples_of(dense: Walkable, ridges: Float64[np.ndarray, "faces 3"], light_faces: int) -> DenseSamples:
    """Samples of the dense mesh, as ``begun`` takes them: the same for all light meshes of as many faces."""
    return dense_samples(dense, light_faces, ridges_at_vertices(dense, ridges))


def start_again(fit: Fit, light_faces: Int64[np.ndarray, "samples"]) -> None:
    """Walk on the dense mesh from where samples of the same light face lie, where that is nearer than before."""
    found = fit.onto_dense.found
    before = found.faces.copy()
    compiled_loops("walking").start_at_samples(
        fit.onto_light.found, fit.dense_faces, light_faces, found.points, found.squares, found.faces
    )
    fit.onto_dense.walk(fit.dense, np.flatnonzero(found.faces != before))
    fit.onto_dense.search(fit.dense, LOST_BACK)


def turn_edges(fit: Fit) -> None:
    """Turn edges and bring all that hangs on them up to date."""
    turning = compiled_loops("turning")
    weights = fit.onto_light.weights * fit.boost[: len(fit.onto_light.weights)]
    wanted = turning.Wanted(
        fit.onto_light.found, fit.dense_normals, weights, NORMAL_PRICE * fit.mean_of(fit.distances) ** 2
    )
    surface, before = fit.light.surface, fit.light.faces.copy()
    if turning.turn_edges(surface, wanted, fit.light.normals(), fit.opposite, LEAST_GAIN):
        fit.light.list_again()
        turning.opposite_faces(surface, fit.opposite)
        touched = np.zeros(len(fit.light.places), np.bool_)
        touched[before[(fit.light.faces != before).any(axis=1)]] = True
        near = touched[fit.light.faces].any(axis=1)
        fit.onto_light.walk(fit.light, np.flatnonzero(near[fit.onto_light.found.faces]))


def move_vertices(fit: Fit) -> None:
    """One step of least squares, taken back where it turns or folds a face."""
    moving = compiled_loops("fitting")
    surface, normals = fit.light.surface, fit.light.normals()
    faces, shares, back_weights = back_places(fit.light)
    places = fit.light.at(faces, shares)
    moved = np.flatnonzero((places != fit.onto_dense.points).any(axis=1))
    fit.onto_dense.points[...] = places
    fit.onto_dense.walk(fit.dense, moved)
    start_again(fit, faces)
    fit.onto_dense.weights[...] = back_weights
    count = len(fit.boost)
    pulls = moving.Pulls(
        faces=np.concatenate([fit.onto_light.found.faces, faces.astype(np.int32)]),
        shares=np.concatenate([fit.onto_light.found.shares, shares]),
        directions=np.zeros((count, 3)),
        residuals=np.zeros(count),
        weights=np.concatenate([fit.onto_light.weights, back_weights]) * fit.boost,
    )
    near = fit.dense.at(fit.onto_dense.found.faces, fit.onto_dense.found.shares)
    aim(pulls, surface, normals, fit.onto_light.points, near)
    if fit.borders is not None:
        added = border_pulls(fit.borders, fit.light, fit.opposite)
        pulls = moving.Pulls(*(np.concatenate(pair) for pair in zip(pulls, added, strict=True)))
    move_by(fit, damped_moves(surface, pulls, fit.held, SOLVER_ROUNDS), normals, (faces, shares))


def move_by(
    fit: Fit,
    moves: Float64[np.ndarray, "vertices 3"],
    normals: Float64[np.ndarray, "faces 3"],
    back: tuple[Int64[np.ndarray, "back"], Float64[np.ndarray, "back 3"]],
) -> None:
    """Move the vertices, back where that turns or folds a face, and find the nearest places anew.

    ``normals`` are those before; ``back`` are faces and barycentric weights by ``back_places``.
    """
    surface, rows, before = fit.light.surface, np.arange(len(fit.light.faces)), fit.light.places.copy()
    fit.light.places[...] += moves
    loops = compiled_loops("fitting")
    loops.undo_turns(surface, fit.opposite, rows, before, normals, LEAST_COSINE, LEAST_FOLD)
    fit.onto_light.find(fit.light, LOST_LATER)
    fit.onto_dense.points[...] = fit.light.at(*back)
    fit.onto_dense.find(fit.dense, LOST_BACK)


def aim(
    pulls: Any,
    surface: Any,
    normals: Float64[np.ndarray, "faces 3"],
    points: Float64[np.ndarray, "forward 3"],
    near: Float64[np.ndarray, "back 3"],
) -> None:
    """Point the first pulls from the surface to ``points``, and those after them to what their samples are near."""
    moving = compiled_loops("fitting")
    moving.point_pulls(surface, points, normals, pulls, 0, True)
    moving.point_pulls(surface, near, normals, pulls, len(points), False)


def damped_moves(
    surface: Any, pulls: Any, held: UInt8[np.ndarray, "vertices"], rounds: int
) -> Float64[np.ndarray, "vertices 3"]:
    """Moves of the vertices by least squares; each is held back by a share of the weight around it."""
    moving = compiled_loops("fitting")
    damping = DAMPING * moving.vertex_weights(surface, pulls, False) + 1e-12
    return np.asarray(moving.fitted_moves(surface, pulls, held, damping, rounds))
