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
