"""From a signed volume to a closed, manifold, evenly meshed surface.

Naive surface nets (Gibson, "Constrained elastic surface nets", 1998): one vertex in each cell that the surface
passes, one quad for each grid edge that crosses it. The result is a 2-manifold exactly where the inside voxels are
well-composed (Latecki, "3D well-composed pictures", 1997), so these are made so first.
"""

import itertools

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64
from scipy import ndimage, sparse

from bridge_server.run import Run

BARELY_INSIDE = 0.02
"""Signed distance, in cells, that a voxel gets when it has to count as inside."""


def single_solid(volume: Float32[np.ndarray, "x y z"]) -> Float32[np.ndarray, "x y z"]:
    """The volume with its largest solid alone, without cavities, well-composed, and open nowhere at the border.

    Positive is inside. The values are about signed distances in cells.
    """
    solid = volume.copy()
    for axis in range(3):
        for end in (0, -1):
            border = np.moveaxis(solid, axis, 0)
            border[end] = np.minimum(border[end], -BARELY_INSIDE)
    parts, count = ndimage.label(solid > 0.0)
    if count > 1:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        crumbs = (parts > 0) & (parts != sizes.argmax())
        solid[crumbs] = -BARELY_INSIDE
    voids, count = ndimage.label(solid <= 0.0)
    if count > 1:
        solid[(voids > 0) & (voids != voids[0, 0, 0])] = BARELY_INSIDE
    for _ in range(64):
        bad = _ill_composed(solid > 0.0)
        if not bad.any():
            break
        solid[bad] = BARELY_INSIDE
    return solid


def _ill_composed(inside: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Outside voxels to fill where voxels of one kind touch only at an edge or a corner."""
    fill = np.zeros_like(inside)
    for first, second in ((0, 1), (1, 2), (0, 2)):
        corner = [[_shifted(inside, {first: i, second: j}) for j in (0, 1)] for i in (0, 1)]
        main = corner[0][0] & corner[1][1] & ~corner[0][1] & ~corner[1][0]
        other = corner[0][1] & corner[1][0] & ~corner[0][0] & ~corner[1][1]
        _shifted(fill, {first: 0, second: 1})[main] = True
        _shifted(fill, {first: 0, second: 0})[other] = True
    corners = {c: _shifted(inside, dict(enumerate(c))) for c in itertools.product((0, 1), repeat=3)}
    total = sum(c.astype(np.uint8) for c in corners.values())
    for start in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        opposite = (1 - start[0], 1 - start[1], 1 - start[2])
        two_in = (total == 2) & corners[start] & corners[opposite]
        two_out = (total == 6) & ~corners[start] & ~corners[opposite]
        beside = (1 - start[0], start[1], start[2])
        _shifted(fill, dict(enumerate(beside)))[two_in] = True
        _shifted(fill, dict(enumerate(start)))[two_out] = True
    return fill & ~inside


def _shifted(array: Bool[np.ndarray, "x y z"], steps: dict[int, int]) -> Bool[np.ndarray, "a b c"]:
    """A view in which neighbours along the given axes share an index; other axes stay whole."""
    cuts = [slice(None)] * 3
    for axis, step in steps.items():
        cuts[axis] = slice(step, array.shape[axis] - 1 + step)
    return array[tuple(cuts)]


def surface_nets(
    volume: Float32[np.ndarray, "x y z"],
) -> tuple[Float64[np.ndarray, "vertices 3"], Int32[np.ndarray, "faces 3"]]:
    """Zero level of the volume, in index coordinates, wound outward (inside is positive)."""
    inside = volume > 0.0
    corners = list(itertools.product((0, 1), repeat=3))
    total = np.add.reduce([_shifted(inside, dict(enumerate(c))).astype(np.uint8) for c in corners])
    cells = np.flatnonzero((total > 0) & (total < 8))
    numbers = np.full(total.shape, -1, np.int32)
    numbers.ravel()[cells] = np.arange(len(cells), dtype=np.int32)
    base = np.stack(np.unravel_index(cells, total.shape), axis=1)
    values = {c: volume[base[:, 0] + c[0], base[:, 1] + c[1], base[:, 2] + c[2]].astype(np.float64) for c in corners}
    sums, hits = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for start in corners:
        for axis in range(3):
            if start[axis] == 1:
                continue
            end = tuple(1 if k == axis else start[k] for k in range(3))
            a, b = values[start], values[end]
            crossing = (a > 0.0) != (b > 0.0)
            place = np.tile(np.array(start, np.float64), (len(cells), 1))
            place[:, axis] = np.divide(a, a - b, out=np.zeros_like(a), where=crossing)
            sums += place * crossing[:, None]
            hits += crossing
    positions = base + sums / hits[:, None]
    quads = np.concatenate([_quads(inside, numbers, axis) for axis in range(3)])
    return positions, _split(positions, quads)


def _quads(
    inside: Bool[np.ndarray, "x y z"], numbers: Int32[np.ndarray, "a b c"], axis: int
) -> Int32[np.ndarray, "quads 4"]:
    """One quad around each grid edge along the axis that crosses the surface."""
    second, third = (axis + 1) % 3, (axis + 2) % 3
    before, after = _shifted(inside, {axis: 0}), _shifted(inside, {axis: 1})
    place = np.stack(np.nonzero(before != after), axis=1)
    outward = before[tuple(place.T)]
    ring = []
    for u, v in ((-1, -1), (0, -1), (0, 0), (-1, 0)):
        cell = place.copy()
        cell[:, second] += u
        cell[:, third] += v
        ring.append(numbers[tuple(cell.T)])
    quads = np.stack(ring, axis=1)
    return np.where(outward[:, None], quads, quads[:, ::-1])


def _split(
    positions: Float64[np.ndarray, "vertices 3"], quads: Int32[np.ndarray, "quads 4"]
) -> Int32[np.ndarray, "faces 3"]:
    """Two triangles a quad, along its shorter diagonal."""
    a, b, c, d = (positions[quads[:, k]] for k in range(4))
    short = ((a - c) ** 2).sum(1) <= ((b - d) ** 2).sum(1)
    turned = np.where(short[:, None], quads, quads[:, [1, 2, 3, 0]])
    return np.ascontiguousarray(turned[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3), np.int32)


def neighbour_mean(faces: Int32[np.ndarray, "faces 3"], count: int) -> sparse.csr_array:
    """Matrix that replaces each vertex's value by the mean of its neighbours'."""
    starts, ends = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    rows, columns = np.concatenate([starts, ends]), np.concatenate([ends, starts])
    adjacency = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    adjacency.data[:] = 1.0
    degrees = np.maximum(np.diff(adjacency.indptr), 1)
    adjacency.data /= np.repeat(degrees, np.diff(adjacency.indptr))
    return adjacency


def relaxed(
    positions: Float64[np.ndarray, "vertices 3"],
    faces: Int32[np.ndarray, "faces 3"],
    volume: Float32[np.ndarray, "x y z"],
    run: Run,
    rounds: int = 5,
) -> Float64[np.ndarray, "vertices 3"]:
    """Vertices spread evenly by their neighbours' mean, each time brought back to the zero level of the volume."""
    mean = neighbour_mean(faces, len(positions))
    places = positions
    for step in range(rounds):
        run.checkpoint(step / rounds, "relaxing the surface")
        places = places + 0.6 * (mean @ places - places)
        for _ in range(3 if step == rounds - 1 else 1):
            value, slope = _value_and_slope(volume, places)
            steepness = np.maximum((slope**2).sum(1), 0.05)
            places = places - np.clip((value / steepness)[:, None] * slope, -0.5, 0.5)
    return places


def _value_and_slope(
    volume: Float32[np.ndarray, "x y z"], places: Float64[np.ndarray, "points 3"]
) -> tuple[Float64[np.ndarray, "points"], Float64[np.ndarray, "points 3"]]:
    """Trilinear interpolation and its gradient; places outside take the border."""
    shape = np.array(volume.shape)
    inner = np.clip(places, 0.0, shape - 1.000001)
    corner = inner.astype(np.int64)
    x, y, z = (inner - corner).T
    flat = (corner[:, 0] * shape[1] + corner[:, 1]) * shape[2] + corner[:, 2]
    values = volume.ravel()
    rows, slabs = int(shape[2]), int(shape[1] * shape[2])
    edge = {(i, j): _along_z(values, flat + i * slabs + j * rows, z) for i in (0, 1) for j in (0, 1)}
    low, low_z = (edge[0, 0][k] * (1 - y) + edge[0, 1][k] * y for k in (0, 1))
    high, high_z = (edge[1, 0][k] * (1 - y) + edge[1, 1][k] * y for k in (0, 1))
    along_y = (edge[0, 1][0] - edge[0, 0][0]) * (1 - x) + (edge[1, 1][0] - edge[1, 0][0]) * x
    return low * (1 - x) + high * x, np.stack([high - low, along_y, low_z * (1 - x) + high_z * x], axis=1)


def _along_z(
    values: Float32[np.ndarray, "nodes"], start: Int64[np.ndarray, "points"], z: Float64[np.ndarray, "points"]
) -> tuple[Float64[np.ndarray, "points"], Float64[np.ndarray, "points"]]:
    first, second = values[start].astype(np.float64), values[start + 1].astype(np.float64)
    return first * (1 - z) + second * z, second - first
