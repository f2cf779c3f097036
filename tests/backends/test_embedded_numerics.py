"""The generator's numerics against closed formulas."""

import numpy as np
import pytest

from bridge_server.backends.generator.inflation import inflate
from bridge_server.backends.generator.surface_nets import relaxed, single_solid, surface_nets
from bridge_server.run import SilentRun
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3


def vertex_fans_are_single(faces: np.ndarray) -> bool:
    """Whether around each vertex the faces form one ring: as many edges end there as faces, joined in one cycle."""
    rings: dict[int, dict[int, int]] = {}
    for a, b, c in faces.tolist():
        for v, start, end in ((a, b, c), (b, c, a), (c, a, b)):
            if start in rings.setdefault(v, {}):
                return False
            rings[v][start] = end
    for ring in rings.values():
        first = next(iter(ring))
        at, length = ring[first], 1
        while at != first and length <= len(ring):
            at, length = ring.get(at, -1), length + 1
        if length != len(ring):
            return False
    return True


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, 0.1), (0.5, 0.5)])
def test_inflated_disc_is_a_ball(shift: tuple[float, float]) -> None:
    i, j = np.mgrid[:90, :90] - 44.5
    radius = 38.2
    away = np.hypot(i - shift[0], j - shift[1])
    found = inflate(np.clip(radius - away, -1.0, 1.0))
    inside = away < radius
    assert np.abs(np.sqrt(found.square[inside]) - np.sqrt((radius**2 - away**2)[inside])).max() < 0.035 * radius
    assert (found.square[away > radius + 0.2] < 0).all()


def test_inflated_strip_is_a_cylinder() -> None:
    i, j = np.mgrid[:80, :200] - np.array([39.5, 99.5])[:, None, None]
    found = inflate(np.clip(np.minimum(15.3 - np.abs(i), 90.0 - np.abs(j)), -1.0, 1.0))
    middle = np.sqrt(np.maximum(found.square[:, 100], 0.0))
    true = np.sqrt(np.maximum(15.3**2 - i[:, 0] ** 2, 0.0))
    assert np.abs(middle - true).max() < 0.5


def test_noise_becomes_one_manifold_surface() -> None:
    volume = np.random.default_rng(4).normal(size=(24, 20, 22)).astype(np.float32)
    positions, faces = surface_nets(single_solid(volume))
    mesh = Mesh(positions_m=positions.astype(np.float32), faces=faces)
    assert is_watertight(mesh)
    assert vertex_fans_are_single(faces)
    assert volume_m3(mesh) > 0


def test_a_diagonal_contact_would_not_be_manifold_unrepaired() -> None:
    volume = np.full((8, 8, 8), -1.0, np.float32)
    volume[2:4, 2:4, 3:5] = volume[4:6, 4:6, 3:5] = 1.0
    _, faces = surface_nets(volume)
    assert not (is_watertight(Mesh(positions_m=np.zeros((faces.max() + 1, 3), np.float32), faces=faces)))
    joined = volume.copy()
    joined[3, 4, 3:5] = 0.5
    assert vertex_fans_are_single(surface_nets(single_solid(joined))[1])


def test_relaxed_surface_lies_on_the_zero_level() -> None:
    grid = np.mgrid[:40, :40, :40] - 19.3
    volume = (15.0 - np.linalg.norm(grid, axis=0)).astype(np.float32)
    solid = single_solid(volume)
    raw, faces = surface_nets(solid)
    even = relaxed(raw, faces, solid, SilentRun())
    radii = np.linalg.norm(even - 19.3, axis=1)
    assert np.abs(radii - 15.0).max() < 0.06
    edges = np.linalg.norm(even[faces[:, 0]] - even[faces[:, 1]], axis=1)
    assert edges.min() > 0.2


def test_cavities_and_crumbs_go() -> None:
    grid = np.mgrid[:30, :30, :30] - 14.5
    away = np.linalg.norm(grid, axis=0)
    volume = np.minimum(10.0 - away, away - 4.0).astype(np.float32)
    volume[1:3, 1:3, 1:3] = 1.0
    _, faces = surface_nets(single_solid(volume))
    assert (faces.max() + 1) - len(faces) // 2 == 2
