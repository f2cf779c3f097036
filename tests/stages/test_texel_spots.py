"""Hits that stand for texels, against a search over all of them."""

import numpy as np
import pytest

from bridge_server.stages.texel_spots import CENTER, SPREAD, Spots, center_taken, hits_at
from bridge_server.values.texture import TexelHits


def hits(resolution_px: int, supersample: int, share: float = 0.6, seed: int = 3) -> TexelHits:
    """Some sub-texels of a square, hit at random."""
    across = resolution_px * supersample
    kept = np.flatnonzero(np.random.default_rng(seed).uniform(size=across**2) < share)
    weights = np.zeros((len(kept), 2), np.float32)
    return TexelHits(
        resolution_px=resolution_px,
        supersample=supersample,
        index=kept.astype(np.int32),
        low_face=np.zeros(len(kept), np.int32),
        low_weights=weights,
        high_face=np.zeros(len(kept), np.int32),
        high_weights=weights,
        by_ray=np.ones(len(kept), np.bool_),
        coverage=np.ones((resolution_px, resolution_px), np.bool_),
    )


@pytest.mark.parametrize("spots", [CENTER, SPREAD])
@pytest.mark.parametrize(("supersample", "coarseness"), [(1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (3, 2)])
def test_each_spot_takes_the_hit_nearest_to_it(supersample: int, coarseness: int, spots: Spots) -> None:
    found = hits(150, supersample, share=0.2)
    step, across = supersample * coarseness, 150 * supersample
    chosen = hits_at(found, coarseness, spots)
    places = np.stack(np.divmod(found.index, across), axis=1)
    texels = places // step
    size = -(-150 // coarseness)
    order = np.unique(texels[:, 0] * size + texels[:, 1])
    assert len(chosen) == len(order)
    for row in np.random.default_rng(0).choice(len(order), 60, replace=False):
        mine = np.flatnonzero(texels[:, 0] * size + texels[:, 1] == order[row])
        inside = (places[mine] % step + 0.5) / step
        for spot, hit in zip(spots, chosen[row], strict=True):
            assert hit in mine
            away = np.abs(inside - spot).sum(axis=1)
            assert away[mine == hit][0] == pytest.approx(away.min())


@pytest.mark.parametrize("supersample", [2, 4])
def test_spread_spots_of_a_full_texel_balance_about_its_middle(supersample: int) -> None:
    found = hits(64, supersample, share=1.0)
    chosen = hits_at(found, 1, SPREAD)
    assert len(np.unique(chosen)) == 64 * 64 * 4
    places = (np.stack(np.divmod(found.index[chosen], 64 * supersample), axis=2) % supersample + 0.5) / supersample
    np.testing.assert_allclose(places.mean(axis=1), 0.5)


def test_the_place_of_the_centre_is_told() -> None:
    for supersample, coarseness in [(1, 1), (1, 2), (2, 2), (1, 3)]:
        found = hits(48, supersample, share=1.0)
        chosen = hits_at(found, coarseness, CENTER)[:, 0]
        step = supersample * coarseness
        places = (np.stack(np.divmod(found.index[chosen], 48 * supersample), axis=1) % step + 0.5) / step
        np.testing.assert_allclose(places, center_taken(found, coarseness))


def test_no_hits_no_spots() -> None:
    assert hits_at(hits(32, 2, share=0.0), 2, SPREAD).shape == (0, 4)
