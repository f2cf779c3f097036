"""Kernels of one scene over host arrays: in blocks on all cores, or all at once on a GPU."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32

from bridge_server.backends.raycaster.base import FacingHits, Lookouts, RayHits
from bridge_server.blocks import BLOCK, over_blocks

FAR = 1e18
"""Stands for no limit; its square still fits single precision."""
ROWS_A_BLOCK = BLOCK * 2
RAYS_A_BLOCK = 1 << 20
"""As large as the blocks of bakes, so that what one of their threads asks is answered in that thread."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """Runs kernels of one module on one device."""

    kernels: ModuleType
    device: Any

    def __call__(
        self,
        name: str,
        first: tuple[object, ...],
        rows: tuple[np.ndarray, ...],
        outputs: tuple[np.ndarray, ...],
        *,
        block: int = ROWS_A_BLOCK,
        packet: int = 1,
    ) -> None:
        """Run a kernel over all rows. ``first`` are its leading arguments; ``outputs`` are written in place.

        Each thread of the kernel takes ``packet`` rows.
        """
        wp, kernel, count = self.kernels.wp, getattr(self.kernels, name), len(outputs[0])
        lent = [np.ascontiguousarray(array) for array in rows]
        if self.device.is_cpu:
            whole = [on_device(wp, item, self.device) if isinstance(item, np.ndarray) else item for item in first]

            def launch(part: slice) -> None:
                inputs = [on_device(wp, array[part], self.device) for array in lent]
                results = [on_device(wp, array[part], self.device) for array in outputs]
                size = -(-(part.stop - part.start) // packet)
                wp.launch(kernel, dim=size, inputs=[*whole, *inputs], outputs=results, device=self.device)

            over_blocks(launch, count, block)
            return
        whole = [on_device(wp, item, self.device) if isinstance(item, np.ndarray) else item for item in first]
        sent, there = ([on_device(wp, array, self.device) for array in group] for group in (lent, outputs))
        wp.launch(kernel, dim=-(-count // packet), inputs=[*whole, *sent], outputs=there, device=self.device)
        for array, result in zip(outputs, there, strict=True):
            array[...] = result.numpy().reshape(array.shape)


def on_device(wp: ModuleType, array: np.ndarray, device: Any) -> Any:
    """A Warp array: the same memory on the processor, a copy on a GPU. Rows of 2 and 3 floats become vectors."""
    kinds = {np.dtype(np.int32): wp.int32, np.dtype(np.uint8): wp.uint8, np.dtype(np.float32): wp.float32}
    kind = kinds[array.dtype] if array.ndim == 1 else {2: wp.vec2, 3: wp.vec3}[array.shape[1]]
    return wp.array(array, dtype=kind, device=device, copy=not device.is_cpu)


def hits_of(
    launch: Launcher,
    name: str,
    first: tuple[object, ...],
    rows: tuple[Float32[np.ndarray, "rays 3"], ...],
    packet: int = 1,
) -> RayHits:
    """What a kernel finds that writes a face, the weights of its corners and a distance for each row."""
    count = len(rows[0])
    faces = np.full(count, -1, np.int32)
    weights, distances = np.zeros((count, 3), np.float32), np.full(count, np.inf, np.float32)
    launch(
        name, first, tuple(np.asarray(array, np.float32) for array in rows), (faces, weights, distances), packet=packet
    )
    return RayHits(faces=faces, barycentrics=weights, distances_m=distances)


def facing_hits_of(
    launch: Launcher, first: tuple[object, ...], rows: tuple[Float32[np.ndarray, "rays 3"], ...], packet: int = 1
) -> FacingHits:
    """What the kernel ``facing_hits`` finds."""
    count = len(rows[0])
    faces, covered = np.full(count, -1, np.int32), np.zeros(count, np.uint8)
    weights, distances = np.zeros((count, 3), np.float32), np.full(count, np.inf, np.float32)
    outputs = (faces, weights, distances, covered)
    launch("facing_hits", first, tuple(np.asarray(array, np.float32) for array in rows), outputs, packet=packet)
    return FacingHits(faces=faces, barycentrics=weights, distances_m=distances, covered=covered.view(np.bool_))


def occluded_of(
    launch: Launcher, first: tuple[object, ...], rows: tuple[Float32[np.ndarray, "rays 3"], ...]
) -> Bool[np.ndarray, "rays"]:
    """Whether each ray meets anything."""
    hit = np.zeros(len(rows[0]), np.uint8)
    launch("occluded", first, tuple(np.asarray(array, np.float32) for array in rows), (hit,))
    return hit.astype(np.bool_)


def openness_of(
    launch: Launcher, asked: tuple[object, ...], sets: Float32[np.ndarray, "sets samples 3"], lookouts: Lookouts
) -> Float32[np.ndarray, "points"]:
    """Share of each point's directions that meet nothing. ``asked``: what is asked, the reach and the start."""
    result = np.empty(len(lookouts.points_m), np.float32)
    samples = sets.shape[1]
    turns = np.stack([np.cos(lookouts.turns), np.sin(lookouts.turns)], axis=1).astype(np.float32)
    chosen: Int32[np.ndarray, "points"] = lookouts.chosen
    launch(
        "openness",
        (*asked, samples, np.ascontiguousarray(sets.reshape(-1, 3))),
        (lookouts.points_m, lookouts.normals, lookouts.face_normals, turns, chosen),
        (result,),
        block=max(RAYS_A_BLOCK // samples, 1),
    )
    return result
