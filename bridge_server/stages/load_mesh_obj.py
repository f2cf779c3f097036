"""Reading Wavefront OBJ with its MTL library (Alias specification, version 3.0)."""

from array import array
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64

from bridge_server.run import Run
from bridge_server.stages.load_mesh_formats import RawSurface, check_triangle_count, companion, refused
from bridge_server.stages.load_mesh_images import decoded_image
from bridge_server.stages.load_mesh_polygons import polygon_triangles
from bridge_server.values.base import Notice
from bridge_server.values.source import MeshSource
from bridge_server.values.surface_texture import SRGB_TO_LINEAR, AlphaMode, MaterialTextures, TextureImage

LINES_PER_CHECKPOINT = 1 << 17


@dataclass(slots=True)
class ObjTables:
    """What the lines of a file have said so far."""

    positions: list[tuple[float, ...]] = field(default_factory=list)
    colors: list[tuple[float, ...]] = field(default_factory=list)
    uvs: list[tuple[float, float]] = field(default_factory=list)
    corners: "array[int]" = field(default_factory=lambda: array("q"))
    """Position, texture and normal index (-1 for none), corner by corner, polygon after polygon."""
    lengths: list[int] = field(default_factory=list)
    """Corners of each polygon."""
    normals: "array[float]" = field(default_factory=lambda: array("d"))
    """x, y, z, one after the other."""
    polygon_materials: list[int] = field(default_factory=list)
    polygon_objects: list[int] = field(default_factory=list)
    materials: dict[str, int] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)
    material: int = 0
    objects: dict[str, int] = field(default_factory=lambda: {"": 0})
    """By the names after ``o``, or after ``g`` in a file without ``o``."""
    object: int = 0
    groups_only: bool = True


def read_obj(source: MeshSource, run: Run) -> RawSurface:
    """Polygons become triangles. Raises ``InputError`` with the line number where a line cannot be read."""
    tables = ObjTables()
    lines = source.data.decode("utf-8-sig", "replace").replace("\\\r\n", " ").replace("\\\n", " ").splitlines()
    for number, line in enumerate(lines):
        if number % LINES_PER_CHECKPOINT == 0:
            run.checkpoint(number / len(lines), "reading lines")
        try:
            read_line(tables, line)
        except (ValueError, IndexError) as error:
            raise refused(source.name, f"line {number + 1} cannot be read ({error}).", "MESH_UNREADABLE") from error
    lengths = np.array(tables.lengths, np.int64)
    check_triangle_count(source.name, int((lengths - 2).sum()))
    notices: list[Notice] = []
    known = read_libraries(source, tables.libraries, notices)
    positions = np.array(tables.positions, np.float64).reshape(-1, 3)
    listed = np.array(tables.corners, np.int64).reshape(-1, 3)
    corners = listed[polygon_triangles(positions, listed[:, 0], lengths)]
    uvs = np.array([*tables.uvs, (0.0, 0.0)])
    has_uvs = bool(len(tables.uvs)) and bool((corners[:, :, 1] >= 0).any())
    names = {index: name for name, index in tables.materials.items()}
    plain = MaterialTextures(roughness_factor=0.6)
    return RawSurface(
        positions=positions,
        faces=corners[:, :, 0],
        corner_uvs=uvs[corners[:, :, 1]] * (1.0, -1.0) + (0.0, 1.0) if has_uvs else None,
        corner_normals=listed_normals(tables, corners[:, :, 2]),
        corner_colors=vertex_colors(tables)[corners[:, :, 0]] if tables.colors else None,
        face_materials=np.repeat(np.array(tables.polygon_materials, np.int64), lengths - 2),
        materials=(plain, *(known.get(names[index], plain) for index in sorted(names))),
        face_objects=np.repeat(np.array(tables.polygon_objects, np.int64), lengths - 2),
        objects=tuple(tables.objects),
        notices=notices,
    )


def read_line(tables: ObjTables, line: str) -> None:
    """Take one line in; raises ``ValueError`` or ``IndexError`` where it makes no sense."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return
    keyword = words[0]
    if keyword == "v":
        if len(words) < 4:
            raise ValueError("a vertex has fewer than three coordinates")
        tables.positions.append((float(words[1]), float(words[2]), float(words[3])))
        if len(words) >= 7:
            tables.colors.append((len(tables.positions) - 1.0, float(words[4]), float(words[5]), float(words[6])))
    elif keyword == "vt":
        tables.uvs.append((float(words[1]), float(words[2]) if len(words) > 2 else 0.0))
    elif keyword == "vn":
        tables.normals.extend((float(words[1]), float(words[2]), float(words[3])))
    elif keyword == "f":
        if len(words) < 4:
            raise ValueError("a face has fewer than three corners")
        for word in words[1:]:
            tables.corners.extend(corner_of(word, len(tables.positions), len(tables.uvs)))
            tables.corners.append(normal_of(word, len(tables.normals) // 3))
        tables.lengths.append(len(words) - 1)
        tables.polygon_materials.append(tables.material)
        tables.polygon_objects.append(tables.object)
    elif keyword == "usemtl":
        name = line.split(None, 1)[1].strip() if len(words) > 1 else ""
        tables.material = tables.materials.setdefault(name, len(tables.materials) + 1)
    elif keyword == "o" or (keyword == "g" and tables.groups_only):
        tables.groups_only &= keyword == "g"
        name = " ".join(words[1:])
        tables.object = tables.objects.setdefault(name, len(tables.objects))
    elif keyword == "mtllib":
        tables.libraries.append(line.split(None, 1)[1].strip())


def corner_of(word: str, vertex_count: int, uv_count: int) -> tuple[int, int]:
    """Zero-based position and texture index of ``v``, ``v/vt``, ``v//vn`` or ``v/vt/vn``; negative ones count back."""
    position, _, rest = word.partition("/")
    texture = rest.partition("/")[0]
    v = int(position)
    v = v - 1 if v > 0 else vertex_count + v
    if not 0 <= v < vertex_count or position == "0":
        raise ValueError(f"a face uses vertex {position} of {vertex_count}")
    if not texture:
        return v, -1
    vt = int(texture)
    vt = vt - 1 if vt > 0 else uv_count + vt
    if not 0 <= vt < uv_count:
        raise ValueError(f"a face uses texture coordinate {texture} of {uv_count}")
    return v, vt


def normal_of(word: str, normal_count: int) -> int:
    """Zero-based normal index of a corner; -1 where it names none that is there."""
    parts = word.split("/")
    if len(parts) < 3 or not parts[2]:
        return -1
    vn = int(parts[2])
    vn = vn - 1 if vn > 0 else normal_count + vn
    return vn if 0 <= vn < normal_count else -1


def listed_normals(tables: ObjTables, index: Int64[np.ndarray, "faces 3"]) -> Float64[np.ndarray, "faces 3 3"] | None:
    """Normals of all corners; None where a corner has none."""
    if not len(tables.normals) or (index < 0).any():
        return None
    return np.array(tables.normals, np.float64).reshape(-1, 3)[index]


def vertex_colors(tables: ObjTables) -> np.ndarray:
    """Linear colours of all vertices; the numbers behind a position are sRGB, 0 to 1 or 0 to 255."""
    colors = np.ones((len(tables.positions), 4))
    listed = np.nan_to_num(np.array(tables.colors))
    encoded = listed[:, 1:] / (255.0 if listed[:, 1:].max() > 1.0 else 1.0)
    colors[listed[:, 0].astype(np.int64), :3] = SRGB_TO_LINEAR[(np.clip(encoded, 0, 1) * 255 + 0.5).astype(np.int64)]
    return colors


def read_libraries(source: MeshSource, libraries: list[str], notices: list[Notice]) -> dict[str, MaterialTextures]:
    """Materials by name from all libraries that came along; those that did not are told."""
    found: dict[str, MaterialTextures] = {}
    for library in dict.fromkeys(libraries):
        data = companion(source, library)
        if data is None:
            notices.append(
                Notice(
                    code="companion_missing",
                    message=f"The material library {library} was not sent, so its colours and textures are missing.",
                    remedy="Send the MTL file and its textures too.",
                )
            )
            continue
        found |= read_mtl(source, data.decode("utf-8", "replace"), notices)
    return found


def read_mtl(source: MeshSource, text: str, notices: list[Notice]) -> dict[str, MaterialTextures]:
    """Materials of one library; Pr, Pm and Ke are the usual physically based additions.

    Without Pr the roughness follows from the Phong exponent Ns: sqrt(2 / (Ns + 2)) (Karis 2013, Beckmann).
    """
    words_by_name: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "newmtl":
            current = words_by_name.setdefault(line.split(None, 1)[1].strip() if len(words) > 1 else "", {})
        else:
            current[words[0]] = words[1:]
    return {name: mtl_material(source, name, words, notices) for name, words in words_by_name.items()}


def mtl_material(source: MeshSource, name: str, words: dict[str, list[str]], notices: list[Notice]) -> MaterialTextures:
    """One material out of its keywords."""

    def numbers(key: str, count: int, default: float) -> list[float]:
        try:
            found = [float(word) for word in words.get(key, [])[:count]]
        except ValueError:
            found = []
        return found if len(found) == count else [default] * count

    texture = mtl_texture(source, words.get("map_Kd"), notices)
    red, green, blue = numbers("Kd", 3, 1.0 if texture is not None else 0.8)
    opacity = numbers("d", 1, 1.0)[0] if "d" in words else 1.0 - numbers("Tr", 1, 0.0)[0]
    exponent = max(numbers("Ns", 1, 4.0)[0], 0.0)
    emission = numbers("Ke", 3, 0.0)
    return MaterialTextures(
        name=name,
        base_color_factor=(red, green, blue, opacity),
        base_color_image=texture,
        metallic_factor=numbers("Pm", 1, 0.0)[0],
        roughness_factor=numbers("Pr", 1, (2.0 / (exponent + 2.0)) ** 0.5)[0],
        emissive_factor=(emission[0], emission[1], emission[2]),
        emissive_image=mtl_texture(source, words.get("map_Ke"), notices),
        alpha_mode=AlphaMode.BLEND if opacity < 1.0 else AlphaMode.OPAQUE,
    )


def mtl_texture(source: MeshSource, words: list[str] | None, notices: list[Notice]) -> TextureImage | None:
    """The image a ``map_`` line names; its options are skipped. A missing or broken one is told."""
    if not words:
        return None
    candidates = [" ".join(words), words[-1]]
    data = next((found for name in candidates if (found := companion(source, name)) is not None), None)
    problem = "it was not sent with the mesh"
    if data is not None:
        try:
            return TextureImage(pixels=decoded_image(data))
        except ValueError as error:
            problem = str(error)
    notices.append(
        Notice(
            code="texture_unreadable",
            message=f"The texture {words[-1]} is left out: {problem}.",
            remedy="Send the texture files beside the OBJ.",
        )
    )
    return None
