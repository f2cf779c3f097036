"""Compile every kernel ahead of time: ``python -m bridge_server.backends.kernels``, which ``./forge`` does at set-up.

Warp keeps what it has compiled in ``warp`` of the cache folder, for each version of it and of the kernels.
"""

from bridge_server.backends.raycaster import embree, warp
from bridge_server.backends.texels import compiled


def compile_kernels() -> None:
    """Those for texels, and for rays on the processor and on this machine's GPU, where it has one."""
    warp.load_kernels()
    embree.load_kernels()
    compiled.load_kernels()


if __name__ == "__main__":
    compile_kernels()
