"""Levels beside each other in threads, several out of one row of collapses, and the moves of their points."""

import numpy as np
import pytest

from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.errors import Cancelled
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages import lod_tasks
from bridge_server.stages.lod_fit import fitted_level
from bridge_server.stages.lod_seams import LevelMaker
from bridge_server.stages.lod_tasks import side_by_side
from bridge_server.stages.lods import Lods
from tests.unwrapped_shapes import unwrapped_ball


@pytest.fixture(scope="module")
def backends():
    return MESH_FILTERS.load("quadric"), RAYCASTERS.load(RAYCASTERS.choose("auto"))


@pytest.fixture(scope="module")
def ball():
    return unwrapped_ball(0.5, 12)


def test_the_bytes_are_the_same_for_any_number_of_threads(backends, ball, monkeypatch):
    chains = []
    for cores in (1, 2, 4):
        monkeypatch.setattr(lod_tasks, "usable_cores", lambda cores=cores: cores)
        chains.append(Lods(count=4)(SilentRun(), *backends, unwrapped=ball))
    for chain in chains[1:]:
        for one, other in zip(chains[0].lods, chain.lods, strict=True):
            assert one.error_m == other.error_m
            assert one.mesh.positions_m.tobytes() == other.mesh.positions_m.tobytes()
            assert one.mesh.tangents.tobytes() == other.mesh.tangents.tobytes()


def test_one_row_of_collapses_passes_what_single_ones_reach(backends, ball):
    mesh_filter, raycaster = backends
    source = LevelMaker.of(mesh_filter, raycaster, ball).source
    for level, count in zip(
        mesh_filter.collapse_with_seams(source, (700, 300, 90), np.inf, SilentRun()), (700, 300, 90), strict=True
    ):
        (alone,) = mesh_filter.collapse_with_seams(source, (count,), np.inf, SilentRun())
        assert len(level.faces) <= count
        assert np.array_equal(level.faces, alone.faces)
        assert np.array_equal(level.positions, alone.positions)


def test_moved_points_share_what_the_ball_bulges(backends, ball):
    """Of a ball the truth is known: how far the middles of faces and the points lie from the radius."""
    mesh_filter, raycaster = backends
    maker = LevelMaker.of(mesh_filter, raycaster, ball)
    (level,) = mesh_filter.collapse_with_seams(maker.source, (300,), np.inf, SilentRun())
    named = lambda mesh: np.linalg.norm(mesh.positions[mesh.points[mesh.faces]].mean(axis=1), axis=1)  # noqa: E731
    plain = level.__class__(level.positions, level.uvs / maker.uv_scale, level.points, level.faces)
    moved = fitted_level(backends, maker.original, maker.texture, plain, SilentRun())
    assert np.array_equal(moved.faces, level.faces)
    assert np.array_equal(moved.uvs, plain.uvs)
    before, after = np.abs(0.5 - named(level)), np.abs(0.5 - named(moved))
    assert after.max() < 0.8 * before.max()
    assert after.mean() < 0.8 * before.mean()


def test_tasks_keep_their_order_and_their_faults():
    assert side_by_side([lambda run, n=n: n for n in range(5)], SilentRun()) == list(range(5))

    def fails(_run):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        side_by_side([fails, lambda run: 1], SilentRun())


def test_tasks_end_when_the_run_is_cancelled():
    def stop(_fraction, _note):
        raise Cancelled

    def endless(run):
        while True:
            run.checkpoint(0.5)

    with pytest.raises(Cancelled):
        side_by_side([endless, endless], CallbackRun(stop))
