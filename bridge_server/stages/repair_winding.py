"""Which way an open piece faces: the side that more rays leave is its outside.

After Takayama, Jacobson, Kavan and Sorkine-Hornung 2014, "A simple method for correcting facet orientations in
polygon meshes based on ray casting": a bowl's outer side sees more of the sky than its inner one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int8, Int64

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.repair_visibility import open_shares
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import face_areas

SAMPLES = 60_000
"""Faces that are asked on the whole."""
MOST_A_PIECE = 200
RAYS = 10
CLEAR = 0.1
"""The sides have to differ by this share of what leaves both; a flat sheet has no outside."""


@dataclass(frozen=True, slots=True)
class SeenFromOutside:
    """A judge of open pieces for ``oriented_outward``."""

    raycaster: Raycaster
    run: Run

    def __call__(
        self, mesh: Mesh, pieces: Int64[np.ndarray, "faces"], asked: Bool[np.ndarray, "pieces"]
    ) -> Int8[np.ndarray, "pieces"]:
        """1 where a piece faces outward, -1 where it faces inward, 0 where rays do not tell."""
        votes = np.zeros(len(asked), np.int8)
        if not asked.any():
            return votes
        faces = _strata_of_pieces(mesh, pieces, asked)
        scene = self.raycaster.scene(mesh.positions_m, mesh.faces)
        leaving = [
            np.bincount(pieces[faces], open_shares(scene, mesh, faces, self.run, side=side, rays=RAYS), len(asked))
            for side in (1.0, -1.0)
        ]
        total = leaving[0] + leaving[1]
        clear = np.abs(leaving[0] - leaving[1]) > CLEAR * total
        votes[clear] = np.sign(leaving[0] - leaving[1])[clear]
        return votes


def _strata_of_pieces(
    mesh: Mesh, pieces: Int64[np.ndarray, "faces"], asked: Bool[np.ndarray, "pieces"]
) -> Int64[np.ndarray, "chosen"]:
    """Equally many faces of each piece that is asked about, spread over its area."""
    order = np.argsort(pieces, kind="stable")
    sizes = np.bincount(pieces, minlength=len(asked))
    first = np.cumsum(sizes) - sizes
    reached = np.concatenate([[0.0], np.cumsum(face_areas(mesh)[order])])
    each = int(np.clip(SAMPLES // asked.sum(), 3, MOST_A_PIECE))
    steps = (np.arange(each) + 0.5) / each
    low, high = reached[first[asked]], reached[(first + sizes)[asked]]
    places = np.searchsorted(reached, (low[:, None] + steps * (high - low)[:, None]).reshape(-1), side="right") - 1
    owner = np.repeat(np.flatnonzero(asked), each)
    return np.asarray(order[np.clip(places, first[owner], (first + sizes)[owner] - 1)])
