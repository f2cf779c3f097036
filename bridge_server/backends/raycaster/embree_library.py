"""The Embree library inside the ``embreex`` package, through ``ctypes``: scenes, and the addresses of its queries.

The package's own binding casts rays from Python, a block at a time, and copies each of them; called from compiled code
the same library answers several times as many (benchmarks/raycasters.py).
"""

import ctypes
import functools
import importlib.util
import os
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.errors import BackendUnavailable

TRIANGLES, INDEX_BUFFER, VERTEX_BUFFER, UINT3, FLOAT3, ROBUST = 0, 0, 1, 0x5003, 0x9003, 4
"""Values of ``RTCGeometryType``, ``RTCBufferType``, ``RTCFormat`` and ``RTCSceneFlags`` (Embree 4)."""
MAJOR_VERSION, NATIVE_PACKETS_OF_16 = 1, 34
"""``RTC_DEVICE_PROPERTY_VERSION_MAJOR`` and ``RTC_DEVICE_PROPERTY_NATIVE_RAY16_SUPPORTED``."""
EMBREE_MAJOR = 4
"""What the layouts in ``embree_kernels`` belong to."""
PACKET_QUERIES = ("rtcIntersect", "rtcOccluded")
PLACES = ("../embreex.libs", ".dylibs", ".")
"""Where wheels keep shared libraries, seen from the package: on Linux and Windows, on macOS, beside the modules."""
PATTERNS = ("libembree4*.so*", "libembree4*.dylib", "embree4*.dll")
SIGNATURES: dict[str, tuple[list[type], type | None]] = {
    "rtcNewDevice": ([ctypes.c_char_p], ctypes.c_void_p),
    "rtcGetDeviceError": ([ctypes.c_void_p], ctypes.c_int),
    "rtcGetDeviceProperty": ([ctypes.c_void_p, ctypes.c_int], ctypes.c_ssize_t),
    "rtcNewScene": ([ctypes.c_void_p], ctypes.c_void_p),
    "rtcSetSceneFlags": ([ctypes.c_void_p, ctypes.c_int], None),
    "rtcCommitScene": ([ctypes.c_void_p], None),
    "rtcReleaseScene": ([ctypes.c_void_p], None),
    "rtcNewGeometry": ([ctypes.c_void_p, ctypes.c_int], ctypes.c_void_p),
    "rtcSetSharedGeometryBuffer": (
        [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, *[ctypes.c_size_t] * 3],
        None,
    ),
    "rtcCommitGeometry": ([ctypes.c_void_p], None),
    "rtcAttachGeometry": ([ctypes.c_void_p, ctypes.c_void_p], ctypes.c_uint),
    "rtcReleaseGeometry": ([ctypes.c_void_p], None),
}


def library_path() -> Path | None:
    """The shared library, or None where the package or the library in it is missing."""
    package = importlib.util.find_spec("embreex")
    if package is None or not package.submodule_search_locations:
        return None
    root = Path(next(iter(package.submodule_search_locations)))
    found = (path for place in PLACES for pattern in PATTERNS for path in sorted((root / place).glob(pattern)))
    return next(found, None)


@dataclass(frozen=True, slots=True)
class Embree:
    """The library and its one device; addresses go to compiled code."""

    library: ctypes.CDLL
    device: int
    intersect: int
    """Address of ``rtcIntersect1``."""
    occluded: int
    """Address of ``rtcOccluded1``."""
    wide: bool
    """Whether packets have 16 rays, not 8."""
    intersect_packet: int
    """Address of ``rtcIntersect16`` or ``rtcIntersect8``."""
    occluded_packet: int
    """Address of ``rtcOccluded16`` or ``rtcOccluded8``."""

    def scene(
        self, positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"], *, robust: bool
    ) -> "CommittedScene":
        """Build the hierarchy; with the robust traversal no ray slips between two triangles."""
        call = self.library
        # Embree reads 16 bytes of each vertex, so the last one needs something behind it
        positions = np.concatenate([positions_m, np.zeros((1, 3), np.float32)])
        scene = call.rtcNewScene(self.device)
        call.rtcSetSceneFlags(scene, ROBUST if robust else 0)
        geometry = call.rtcNewGeometry(self.device, TRIANGLES)
        for kind, form, array, count in (
            (VERTEX_BUFFER, FLOAT3, positions, len(positions_m)),
            (INDEX_BUFFER, UINT3, faces, len(faces)),
        ):
            call.rtcSetSharedGeometryBuffer(geometry, kind, 0, form, array.ctypes.data, 0, 12, count)
        call.rtcCommitGeometry(geometry)
        call.rtcAttachGeometry(scene, geometry)
        call.rtcReleaseGeometry(geometry)
        call.rtcCommitScene(scene)
        error = call.rtcGetDeviceError(self.device)
        if error:
            call.rtcReleaseScene(scene)
            raise BackendUnavailable(
                f"Embree could not build a scene of {len(faces)} triangles (error {error}).",
                subject="ray caster",
                remedy="Close other programs, if memory is short, or choose the ray caster warp.",
            )
        result = CommittedScene(address=int(scene), positions_m=positions, faces=faces)
        weakref.finalize(result, call.rtcReleaseScene, scene)
        return result


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class CommittedScene:
    """A scene that lives as long as this does, and the arrays that it reads."""

    address: int
    positions_m: Float32[np.ndarray, "vertices_and_one 3"] = field(repr=False)
    faces: Int32[np.ndarray, "faces 3"] = field(repr=False)


@functools.cache
def embree() -> Embree:
    """The library, loaded once a process. Raises ``BackendUnavailable`` where it cannot be."""
    path = library_path()
    if path is None:
        raise BackendUnavailable("no Embree library is installed.", subject="ray caster", remedy="pip install embreex")
    try:
        if hasattr(os, "add_dll_directory"):
            os.add_dll_directory(str(path.parent))
        library = ctypes.CDLL(str(path))
        for name, (takes, gives) in SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = takes, gives
        device = library.rtcNewDevice(None)
        wide = bool(device) and bool(library.rtcGetDeviceProperty(device, NATIVE_PACKETS_OF_16))
        names = ("rtcIntersect1", "rtcOccluded1", *((f"{name}{16 if wide else 8}") for name in PACKET_QUERIES))
        addresses = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names]
    except (OSError, AttributeError) as error:
        raise BackendUnavailable(
            f"{path.name} cannot be loaded: {error}.", subject="ray caster", remedy="Choose the ray caster warp."
        ) from error
    major = library.rtcGetDeviceProperty(device, MAJOR_VERSION) if device else 0
    if device and major != EMBREE_MAJOR:
        raise BackendUnavailable(
            f"{path.name} is Embree {major}, not {EMBREE_MAJOR}.",
            subject="ray caster",
            remedy='pip install "embreex>=4.4,<5", or choose the ray caster warp.',
        )
    if not device or not all(addresses):
        raise BackendUnavailable("Embree does not start.", subject="ray caster", remedy="Choose the ray caster warp.")
    intersect, occluded, intersect_packet, occluded_packet = addresses
    return Embree(
        library=library,
        device=device,
        intersect=intersect,
        occluded=occluded,
        wide=wide,
        intersect_packet=intersect_packet,
        occluded_packet=occluded_packet,
    )
