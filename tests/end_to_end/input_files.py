"""Input files with known contents, written by hand or by libraries that are not the product's."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from bridge_server.values.mesh import Mesh
from tests import shapes

RED = (200, 40, 40)
BLUE, YELLOW = (40, 60, 200), (220, 200, 40)


def vase_pixels(width: int = 360, height: int = 480) -> np.ndarray:
    """A glazed vase with a soft edge before nothing: straight alpha."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    t = (y - 0.06 * height) / (0.88 * height)
    radius = width * (0.16 + 0.22 * np.sin(np.pi * np.clip(t, 0, 1)) ** 2 + 0.05 * np.cos(9 * t))
    across = (x - width / 2) / np.maximum(radius, 1)
    inside = np.clip((1.0 - np.abs(across)) * radius / 2, 0, 1) * np.clip(np.minimum(t, 1 - t) * height, 0, 1)
    light = 0.45 + 0.5 * np.sqrt(np.clip(1 - across**2, 0, 1)) - 0.15 * across
    bands = np.where(np.sin(24 * t) > 0.2, 1.0, 0.7)
    color = np.stack([190 * light * bands, 120 * light, 90 * light / bands], -1)
    return np.dstack([np.clip(color, 0, 255), inside * 255]).astype(np.uint8)


def vase_photo(folder: Path, name: str = "vase.png") -> Path:
    path = folder / name
    Image.fromarray(vase_pixels()).save(path, "PNG")
    return path


def knot(rows: int = 60, columns: int = 30) -> Mesh:
    """A ring that stands upright."""
    ring = shapes.torus(0.5, 0.18, rows, columns)
    return Mesh(positions_m=ring.positions_m[:, [0, 2, 1]] * np.float32([1, -1, 1]), faces=ring.faces)


def obj_text(mesh: Mesh, head: str = "") -> str:
    lines = [head, *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.positions_m)]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces]
    return "\n".join(lines) + "\n"


def obj_file(folder: Path, name: str, mesh: Mesh) -> Path:
    path = folder / name
    path.write_text(obj_text(mesh))
    return path


def textured_obj(folder: Path) -> Path:
    """A ball of 1 m with an OBJ, a library and a picture: blue above its equator, yellow below."""
    rows, columns = 24, 48
    v, u = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij")
    theta, phi = np.pi * v, 2 * np.pi * u
    places = np.stack([np.sin(theta) * np.cos(phi), np.cos(theta), -np.sin(theta) * np.sin(phi)], -1) / 2
    lines = ["mtllib globe.mtl", "usemtl paint"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in places.reshape(-1, 3)]
    lines += [f"vt {s:.6f} {1 - t:.6f}" for s, t in zip(u.ravel(), v.ravel(), strict=True)]
    for row in range(rows):
        for column in range(columns):
            a = row * (columns + 1) + column + 1
            b, c, d = a + 1, a + columns + 1, a + columns + 2
            corners = ([] if row == 0 else [(a, c, b)]) + ([] if row == rows - 1 else [(b, c, d)])
            lines += ["f " + " ".join(f"{i}/{i}" for i in corner) for corner in corners]
    (folder / "globe.obj").write_text("\n".join(lines) + "\n")
    (folder / "globe.mtl").write_text("newmtl paint\nKd 1 1 1\nmap_Kd globe.png\n")
    pixels = np.empty((64, 64, 3), np.uint8)
    pixels[:32], pixels[32:] = BLUE, YELLOW
    Image.fromarray(pixels).save(folder / "globe.png")
    return folder / "globe.obj"


def colored_ply(folder: Path) -> Path:
    """A red ring in text, with a colour at each vertex."""
    mesh = knot()
    head = ["ply", "format ascii 1.0", f"element vertex {len(mesh.positions_m)}"]
    head += [f"property float {axis}" for axis in "xyz"]
    head += [f"property uchar {channel}" for channel in ("red", "green", "blue")]
    head += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header"]
    lines = [f"{x:.6f} {y:.6f} {z:.6f} {RED[0]} {RED[1]} {RED[2]}" for x, y, z in mesh.positions_m]
    lines += [f"3 {a} {b} {c}" for a, b, c in mesh.faces]
    path = folder / "red ring.ply"
    path.write_text("\n".join([*head, *lines]) + "\n")
    return path


def binary_stl(folder: Path) -> Path:
    """A peanut without colours, 1.2 m high, with a waist that light reaches less."""
    mesh = shapes.sphere(0.4, 4)
    waist = 1.0 - 0.5 * np.exp(-((mesh.positions_m[:, 1:2] / 0.15) ** 2))
    corners = (mesh.positions_m * np.concatenate([waist, np.full_like(waist, 1.5), waist], axis=1))[mesh.faces]
    records = np.zeros(len(corners), np.dtype([("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")]))
    records["v"] = corners
    path = folder / "peanut.stl"
    path.write_bytes(b"binary".ljust(80, b" ") + struct.pack("<I", len(records)) + records.tobytes())
    return path
