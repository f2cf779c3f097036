"""Wavefront OBJ and its material library, with the texture statements of the PBR extension.

Metres and Y up as inside; V points up. Collision pieces are objects of their own.
"""

from collections.abc import Iterator

import numpy as np

from bridge_server.stages.export_model import MaterialFiles, Model, corner_points


def write_obj(model: Model, library: str) -> bytes:
    """The OBJ's bytes; ``library`` is the file name of its material library."""
    return ("\n".join(_lines(model, library)) + "\n").encode()


def write_mtl(material: MaterialFiles) -> bytes:
    """The material library's bytes; images by file name."""
    lines = [f"newmtl {material.name}", "Kd 1 1 1", "Ks 0 0 0", "Ni 1.5", "illum 2"]
    if material.base_color_path:
        lines.append(f"map_Kd {material.base_color_path}")
    if material.normal_path:
        lines += [f"norm {material.normal_path}", f"map_Bump {material.normal_path}"]
    if material.orm_path:
        lines += [f"map_Pr -imfchan g {material.orm_path}", f"map_Pm -imfchan b {material.orm_path}"]
    return ("\n".join(lines) + "\n").encode()


def _lines(model: Model, library: str) -> Iterator[str]:
    yield f"mtllib {library}"
    points = corners = 1
    for mesh in model.meshes:
        welded = corner_points(mesh)
        yield f"o {mesh.name}"
        yield from _rows("v", welded.positions_m)
        yield from _rows("vt", np.stack([mesh.uvs[:, 0], 1.0 - mesh.uvs[:, 1]], axis=1))
        yield from _rows("vn", mesh.normals)
        yield f"usemtl {model.material.name}"
        around, sizes = mesh.polygons()
        words = [f"{p}/{c}/{c}" for p, c in zip(mesh.welded[around] + points, around + corners, strict=True)]
        yield from ("f " + " ".join(words[end - size : end]) for end, size in zip(np.cumsum(sizes), sizes, strict=True))
        points += len(welded.positions_m)
        corners += len(mesh.positions_m)
    for hull in model.hulls:
        yield f"o {hull.name}"
        yield from _rows("v", hull.positions_m)
        yield from (f"f {a} {b} {c}" for a, b, c in (hull.faces + points).tolist())
        points += len(hull.positions_m)


def _rows(statement: str, values: np.ndarray) -> Iterator[str]:
    for row in values.tolist():
        yield statement + "".join(f" {number:.7g}" for number in row)
