"""What the sparse operations of the TRELLIS.2 port cost on this machine, on shells of cells as its decoders meet them.

``./forge bench trellis2_ops`` writes ``benchmarks/results/trellis2_ops.json``; with ``cuda`` as argument it measures
the first CUDA device and writes ``trellis2_ops_cuda.json``. Times are the best of several. Rates count only products
of cells that exist, so `share_of_matmul` says how much of a plain matrix product's rate is left.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import _machine
from vendor.trellis2.dual_grid import DualGrid, extract_mesh
from vendor.trellis2.sparse_conv import ConvPath, ConvSettings, SparseConv3d, best_path, configure
from vendor.trellis2.sparse_decoder import SparseDecoder, SparseDecoderConfig, UpBlock, set_torso_dtype
from vendor.trellis2.subdivision import Subdivision, channel_to_space
from vendor.trellis2.voxels import SparseTensor, Voxels, occupied_voxels

ROUNDS = 3
LEAST_S = 0.15
"""Every time is the best of at least so many rounds and so many seconds."""
EDGES = (32, 64, 96, 128)
CHANNELS = {32: (1024, 512), 64: (512, 256), 96: (256, 128), 128: (128, 64)}
"""Channels that the official decoders have about where their levels hold as many cells."""
BLOCK_MIB = (1, 8, 64, 512)
COARSEST_EDGE = {"cpu": 8, "cuda": 64}
"""Of the shell that a full decoder is timed on; its last level is 16 times as fine."""


class Bench:
    """Times and memory on one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.dtype = torch.float32 if device.type == "cpu" else torch.float16

    def seconds(self, work: Callable[[], object]) -> float:
        """Best time after one round that does not count; short work gets more rounds than long one."""
        work()
        times: list[float] = []
        while len(times) < ROUNDS or sum(times) < LEAST_S:
            self._wait()
            start = time.perf_counter()
            work()
            self._wait()
            times.append(time.perf_counter() - start)
        return min(times)

    def peak_mib(self, work: Callable[[], object]) -> float:
        """Memory that the work takes at its peak beyond what was there before, its result among it."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            work()
            self._wait()
            return (torch.cuda.max_memory_allocated(self.device) - before) / 2**20
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as log:
            work()
        events = [event for event in log.profiler.kineto_results.events() if event.name() == "[memory]"]
        events.sort(key=lambda event: event.start_ns())
        return max(itertools.accumulate((event.nbytes() for event in events), initial=0)) / 2**20

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def shell(edge: int, device: torch.device) -> Voxels:
    """The cells around a sphere."""
    axis = torch.arange(edge) + 0.5 - edge / 2
    distance = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    return Voxels(occupied_voxels((distance - 0.4 * edge).abs() < 0.87).coords.to(device))


def tables(bench: Bench) -> list[dict[str, object]]:
    rows = []
    for edge in EDGES:
        voxels = shell(edge, bench.device)

        def build(voxels: Voxels = voxels) -> object:
            voxels.forget_tables()
            return voxels.neighbours

        seconds = bench.seconds(build)
        present = int((voxels.neighbours >= 0).sum())
        rows.append(
            {
                "edge": edge,
                "cells": len(voxels),
                "neighbours_a_cell": round(present / len(voxels), 1),
                "build_ms": round(1e3 * seconds, 2),
                "million_cells_per_s": round(len(voxels) / seconds / 1e6, 2),
                "table_mib": round(voxels.neighbours.nbytes / 2**20, 2),
            }
        )
    return rows


def convolutions(bench: Bench) -> list[dict[str, object]]:
    rows = []
    paths: list[ConvPath] = ["per_offset", "gathered"]
    if best_path(bench.device) == "triton":
        paths.append("triton")
    for edge in EDGES:
        voxels = shell(edge, bench.device)
        pairs = int((voxels.neighbours >= 0).sum())
        for channels in CHANNELS[edge]:
            layer = SparseConv3d(channels, channels).to(bench.device, bench.dtype)
            volume = SparseTensor(voxels, torch.randn(len(voxels), channels, device=bench.device, dtype=bench.dtype))
            given = torch.randn(8192, channels, device=bench.device, dtype=bench.dtype)
            square = layer.weight[:, 0, 0, 0].contiguous()
            plain = 2 * 8192 * channels**2 / bench.seconds(lambda g=given, s=square: g @ s)
            for path in paths:
                configure(layer, ConvSettings(path=path))
                run = lambda layer=layer, volume=volume: layer(volume)  # noqa: E731
                rate = 2 * pairs * channels**2 / bench.seconds(run)
                rows.append(
                    {
                        "edge": edge,
                        "cells": len(voxels),
                        "channels": channels,
                        "path": path,
                        "ms": round(2e3 * pairs * channels**2 / rate, 2),
                        "useful_gflops": round(rate / 1e9, 1),
                        "share_of_matmul": round(rate / plain, 2),
                        "peak_mib": round(bench.peak_mib(run), 1),
                    }
                )
    return rows


def block_sizes(bench: Bench) -> list[dict[str, object]]:
    """Working memory against time, for the path of this device, with the processor's own limit lifted."""
    from vendor.trellis2 import row_blocks

    usual, rows = row_blocks.PROCESSOR_BLOCK_BYTES, []
    voxels = shell(128, bench.device)
    for channels in CHANNELS[128]:
        layer = SparseConv3d(channels, channels).to(bench.device, bench.dtype)
        volume = SparseTensor(voxels, torch.randn(len(voxels), channels, device=bench.device, dtype=bench.dtype))
        for path in ("per_offset", "gathered"):
            times = {}
            for mib in BLOCK_MIB:
                row_blocks.PROCESSOR_BLOCK_BYTES = mib << 20
                configure(layer, ConvSettings(path=path, block_bytes=mib << 20))
                times[f"{mib} MiB"] = round(1e3 * bench.seconds(lambda la=layer, v=volume: la(v)), 2)
            rows.append({"channels": channels, "path": path, "ms_by_block": times})
    row_blocks.PROCESSOR_BLOCK_BYTES = usual
    return rows


def against_dense(bench: Bench) -> list[dict[str, object]]:
    """The same convolution by `Conv3d` on the whole grid."""
    rows = []
    for edge, channels in ((32, 64), (64, 64)):
        voxels = shell(edge, bench.device)
        layer = SparseConv3d(channels, channels).to(bench.device, bench.dtype)
        configure(layer, ConvSettings(path=best_path(bench.device)))
        volume = SparseTensor(voxels, torch.randn(len(voxels), channels, device=bench.device, dtype=bench.dtype))
        grid = torch.randn(1, channels, edge, edge, edge, device=bench.device, dtype=bench.dtype)
        weight = layer.weight.permute(0, 4, 1, 2, 3).contiguous()
        sparse = bench.seconds(lambda la=layer, v=volume: la(v))
        dense = bench.seconds(lambda g=grid, w=weight, b=layer.bias: torch.conv3d(g, w, b, padding=1))
        rows.append(
            {
                "edge": edge,
                "channels": channels,
                "cells_are_of_grid": round(len(voxels) / edge**3, 3),
                "sparse_ms": round(1e3 * sparse, 2),
                "dense_ms": round(1e3 * dense, 2),
                "dense_takes_times": round(dense / sparse, 2),
            }
        )
    return rows


def absent_children(bench: Bench) -> list[dict[str, object]]:
    """First convolution of an up-block: computing the present children alone, against all and then choosing."""
    rows = []
    for edge, channels in ((32, 512), (64, 256), (96, 128)):
        voxels = shell(edge, bench.device)
        block = UpBlock(channels, channels // 2, predicts_subdivision=False).to(bench.device, bench.dtype)
        configure(block, ConvSettings(path=best_path(bench.device)))
        volume = SparseTensor(voxels, torch.randn(len(voxels), channels, device=bench.device, dtype=bench.dtype))
        guide = subdivision(voxels, shell(2 * edge, bench.device))
        ours = lambda b=block, v=volume, g=guide: b._children(v.features, g)  # noqa: E731
        plain = lambda b=block, v=volume, g=guide: channel_to_space(b.conv1(v), g).features  # noqa: E731
        ours_s, plain_s = bench.seconds(ours), bench.seconds(plain)
        rows.append(
            {
                "edge": edge,
                "channels": channels,
                "children_a_cell": round(len(guide.children) / len(voxels), 2),
                "ours_ms": round(1e3 * ours_s, 1),
                "plain_ms": round(1e3 * plain_s, 1),
                "plain_takes_times": round(plain_s / ours_s, 2),
                "ours_peak_mib": round(bench.peak_mib(ours), 1),
                "plain_peak_mib": round(bench.peak_mib(plain), 1),
            }
        )
    return rows


def extraction(bench: Bench) -> list[dict[str, object]]:
    """Triangles from a shell of cells whose edges are crossed wherever the sphere crosses them."""
    rows = []
    for edge in EDGES[1::2]:
        voxels = shell(edge, bench.device)
        corner = voxels.coords + 1.0 - edge / 2
        inside = corner.norm(dim=1) < 0.4 * edge
        before = torch.stack([(corner - unit).norm(dim=1) for unit in torch.eye(3, device=bench.device)], dim=1)
        crossed = (before < 0.4 * edge) != inside[:, None]
        grid = DualGrid(voxels, torch.full_like(corner, 0.5), crossed, torch.ones(len(voxels), device=bench.device))

        def run(grid: DualGrid = grid, edge: int = edge) -> object:
            grid.voxels.forget_tables()
            return extract_mesh(grid, edge)

        faces = len(extract_mesh(grid, edge)[1])
        rows.append({"edge": edge, "cells": len(voxels), "faces": faces, "ms": round(1e3 * bench.seconds(run), 2)})
    return rows


def full_decoder(bench: Bench) -> dict[str, object]:
    """The official texture decoder's size with random weights, led along shells that get twice as fine."""
    edge = COARSEST_EDGE[bench.device.type]
    coarsest = shell(edge, bench.device)
    guide, parents = [], coarsest
    for level in range(1, 5):
        guide.append(subdivision(parents, shell(edge << level, bench.device)))
        parents = guide[-1].children
    with torch.device(bench.device):
        decoder = SparseDecoder(SparseDecoderConfig(out_channels=6, predicts_subdivision=False)).eval()
    set_torso_dtype(decoder, bench.dtype)
    configure(decoder, ConvSettings(path=best_path(bench.device)))
    latent = SparseTensor(coarsest, torch.randn(len(coarsest), 32, device=bench.device))
    run = lambda: decoder(latent, guide)  # noqa: E731
    return {
        "cells_by_level": [len(coarsest), *(len(step.children) for step in guide)],
        "weights_mib": round(sum(p.nbytes for p in decoder.parameters()) / 2**20),
        "s": round(bench.seconds(run), 2),
        "peak_mib": round(bench.peak_mib(run)),
    }


def subdivision(parents: Voxels, fine: Voxels) -> Subdivision:
    """Which children of each parent lie in a finer set of cells; a parent without any gets its first."""
    bits = torch.stack([torch.arange(8, device=parents.device) >> axis & 1 for axis in range(3)], dim=1)
    present = fine.rows_of(parents.coords[:, None] * 2 + bits) >= 0
    present[:, 0] |= ~present.any(dim=1)
    return Subdivision(parents, present)


@torch.no_grad()
def measure(device: torch.device) -> dict[str, object]:
    bench = Bench(device)
    torch.manual_seed(0)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "processor",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "dtype": str(bench.dtype),
        "neighbour_tables": tables(bench),
        "convolutions": convolutions(bench),
        "block_sizes": block_sizes(bench),
        "against_dense": against_dense(bench),
        "absent_children": absent_children(bench),
        "extraction": extraction(bench),
        "full_texture_decoder": full_decoder(bench),
    }


def main() -> None:
    device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    result = measure(device)
    path = _machine.write("trellis2_ops" if device.type == "cpu" else f"trellis2_ops_{device.type}", result)
    print(json.dumps(result, indent=2))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
