import numpy as np

from bridge_server.values.surface_voxel import VoxelField, cell_codes, code_cells


def field(cells, attributes, voxel_m=0.5, origin_m=(-1.0, 2.0, 0.0)):
    codes = cell_codes(np.asarray(cells, np.int64))
    order = np.argsort(codes)
    values = np.asarray(attributes, np.float32)[order]
    return VoxelField(origin_m=origin_m, voxel_m=voxel_m, codes=codes[order], attributes=values)


def unused_locate(positions_m, faces, points_m):
    raise AssertionError("voxels need no mesh")


def test_codes_round_trip_and_sort_by_x_then_y_then_z():
    cells = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [2**21 - 1, 2**21 - 1, 2**21 - 1]])
    codes = cell_codes(cells)
    assert (np.diff(codes) > 0).all()
    np.testing.assert_array_equal(code_cells(codes), cells)


def test_a_linear_function_is_reproduced_exactly_inside():
    cells = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    centers = (cells + 0.5) * 0.5 + (-1.0, 2.0, 0.0)
    slope = np.random.default_rng(1).normal(size=(3, 6))
    voxels = field(cells, centers @ slope)
    points = np.random.default_rng(2).uniform((-0.7, 2.3, 0.3), (0.9, 3.9, 1.9), (500, 3)).astype(np.float32)
    sample = voxels.sample(points, unused_locate)
    expected = points @ slope
    np.testing.assert_allclose(sample.base_color, expected[:, :3], atol=1e-4)
    found = np.stack([sample.metallic, sample.roughness, sample.opacity], 1)
    np.testing.assert_allclose(found, expected[:, 3:], atol=1e-4)


def test_missing_cells_do_not_darken_and_far_points_take_the_nearest():
    voxels = field([[0, 0, 0], [10, 0, 0]], [[1, 0, 0, 0, 0.5, 1], [0, 1, 0, 1, 0.2, 1]])
    points = np.array([[-0.6, 2.1, 0.1], [1.0, 9.0, -4.0], [4.2, 2.3, 0.2]], np.float32)
    sample = voxels.sample(points, unused_locate)
    np.testing.assert_allclose(sample.base_color, [[1, 0, 0], [1, 0, 0], [0, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(sample.roughness, [0.5, 0.5, 0.2], atol=1e-6)


def reference(voxels, points):
    """One point and one cell at a time."""
    rows = {tuple(cell): row for row, cell in enumerate(code_cells(voxels.codes).tolist())}
    result = []
    for point in points.astype(np.float64):
        place = (point - voxels.origin_m) / voxels.voxel_m - 0.5
        low = np.floor(place).astype(int)
        sums, total = np.zeros(6), 0.0
        for corner in np.ndindex(2, 2, 2):
            row = rows.get(tuple((low + corner).tolist()))
            weight = np.where(corner, place - low, 1 - place + low).prod()
            if row is not None:
                sums, total = sums + weight * voxels.attributes[row], total + weight
        if total <= 1e-6:
            cells = np.array(list(rows))
            sums, total = voxels.attributes[list(rows.values())[np.linalg.norm(cells - place, axis=1).argmin()]], 1.0
        result.append(sums / total)
    return np.array(result)


def test_every_kind_of_border_equals_the_reference():
    """A shell one or two cells thick, with its bounds at the corner of the grid where cells have no neighbours."""
    grid = np.stack(np.meshgrid(*[np.arange(9)] * 3, indexing="ij"), -1).reshape(-1, 3)
    radius = np.linalg.norm(grid - 4, axis=1)
    cells = grid[(radius > 2.4) & (radius < 4.6)]
    random = np.random.default_rng(3)
    voxels = field(cells, random.uniform(size=(len(cells), 6)), voxel_m=0.1, origin_m=(0.0, 0.0, 0.0))
    points = random.uniform(-0.3, 1.2, (800, 3)).astype(np.float32)
    sample = voxels.sample(points, unused_locate)
    found = np.column_stack([sample.base_color, sample.metallic, sample.roughness, sample.opacity])
    np.testing.assert_allclose(found, reference(voxels, points), atol=2e-4)


def test_the_last_cells_of_the_largest_grid_have_no_neighbours_beyond():
    last = 2**21 - 1
    cells = [[last, last, last], [0, 0, 0], [last, 0, 0]]
    voxels = field(cells, np.arange(18).reshape(3, 6), voxel_m=1.0, origin_m=(0.0, 0.0, 0.0))
    beyond = [[last + 0.75, last + 0.5, last + 0.9], [last + 0.5, 0.5, -9.0], [9e6, 0, 0]]
    points = np.float32([*beyond, [0.25, 0.25, 0.25]])
    sample = voxels.sample(points, unused_locate)
    np.testing.assert_allclose(sample.base_color[:, 0], [0, 12, 12, 6])


def test_a_shell_keeps_a_smooth_function_to_a_small_part_of_a_cell():
    """Cells that a sphere cuts, as volumetric generators store them, sampled on the sphere itself."""
    voxel_m = 1 / 48
    grid = np.stack(np.meshgrid(*[np.arange(48)] * 3, indexing="ij"), -1).reshape(-1, 3)
    away = np.abs(np.linalg.norm((grid + 0.5) * voxel_m - 0.5, axis=1) - 0.45)
    cells = grid[away < voxel_m]
    centers = (cells + 0.5) * voxel_m
    values = np.repeat(0.5 + 0.3 * np.sin(9 * centers[:, :1]), 6, axis=1)
    voxels = field(cells, values, voxel_m=voxel_m, origin_m=(0.0, 0.0, 0.0))
    normal = np.random.default_rng(6).normal(size=(4000, 3))
    points = (0.5 + 0.45 * normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32)
    error = voxels.sample(points, unused_locate).roughness - (0.5 + 0.3 * np.sin(9 * points[:, 0]))
    assert np.sqrt((error**2).mean()) < 0.01
    assert np.abs(error).max() < 0.06
