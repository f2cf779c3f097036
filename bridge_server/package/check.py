"""``forge check`` on a package, first half: does it hold what its manifest says?"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bridge_server.package.contents import PackageContents, is_safe, read_package
from bridge_server.package.glb_reader import GlbNode, read_glb_nodes
from bridge_server.stages.png_writer import png_size
from bridge_server.values.checklist import Check, Checklist, Verdict
from bridge_server.values.manifest import MANIFEST_NAME, Manifest, TextureEntry
from bridge_server.values.package import FileRole

BOUNDS_TOLERANCE = 1e-4
"""As a share of the asset's largest extent."""
AGAIN = "Forge or download the package again."
SRGB_ROLES = {FileRole.BASE_COLOR.value}


def check_package(path: Path) -> Checklist:
    """The package held against its manifest. Raises ``InputError`` where ``path`` is no package at all."""
    contents = read_package(path)
    return check_contents(contents, Manifest.from_json(contents.files[MANIFEST_NAME]))


def check_contents(contents: PackageContents, manifest: Manifest) -> Checklist:
    """Each rule about the files with its outcome."""
    nodes, broken = _glb_nodes(contents, manifest)
    rules: tuple[tuple[str, str, Iterable[str]], ...] = (
        ("paths", "All paths stay inside the package", _unsafe_paths(contents, manifest)),
        ("files", "Every listed file is there, and none else", _files(contents, manifest)),
        ("digests", "Sizes and digests are right", _digests(contents, manifest)),
        ("meshes", "Mesh files can be read", broken),
        ("lods", "Levels of detail are as listed", _lods(manifest, nodes)),
        ("collision", "Collision pieces are as listed", _collision(manifest, nodes)),
        ("bounds", "Size and pivot are as listed", _bounds(manifest, nodes)),
        ("textures", "Textures are as listed", _textures(contents, manifest)),
        ("material", "The material's textures are in the package", _material(manifest)),
    )
    return Checklist(checks=tuple(_judge(rule, title, flaws) for rule, title, flaws in rules))


def _judge(rule: str, title: str, flaws: Iterable[str]) -> Check:
    found = list(flaws)
    if not found:
        return Check(rule=rule, title=title, verdict=Verdict.PASS, figure="as it should be")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return Check(rule=rule, title=title, verdict=Verdict.FAIL, figure="; ".join(found[:3]) + more, remedy=AGAIN)


def _unsafe_paths(contents: PackageContents, manifest: Manifest) -> Iterator[str]:
    yield from (f"{name!r} leads outside or comes twice" for name in contents.unsafe_paths)
    listed = [entry.path for entry in manifest.files]
    listed += [lod.path for lod in manifest.lods] + [texture.path for texture in manifest.textures]
    yield from (f"the manifest lists {name!r}" for name in listed if not is_safe(name))


def _files(contents: PackageContents, manifest: Manifest) -> Iterator[str]:
    listed = [entry.path for entry in manifest.files]
    yield from (f"{name} is missing" for name in listed if name not in contents.files)
    yield from (f"{name} is not listed" for name in sorted(set(contents.files) - set(listed) - {MANIFEST_NAME}))
    yield from (f"{name} is listed twice" for name in sorted({name for name in listed if listed.count(name) > 1}))


def _digests(contents: PackageContents, manifest: Manifest) -> Iterator[str]:
    for entry in manifest.files:
        data = contents.files.get(entry.path)
        if data is None:
            continue
        if len(data) != entry.size_bytes:
            yield f"{entry.path} has {len(data)} bytes, not {entry.size_bytes}"
        elif hashlib.sha256(data).hexdigest() != entry.sha256:
            yield f"{entry.path} has other contents"


def _glb_nodes(contents: PackageContents, manifest: Manifest) -> tuple[dict[str, Mapping[str, GlbNode]], list[str]]:
    nodes: dict[str, Mapping[str, GlbNode]] = {}
    broken: list[str] = []
    for name in sorted({entry.path for entry in manifest.files if entry.path.endswith(".glb")}):
        if name in contents.files:
            try:
                nodes[name] = read_glb_nodes(contents.files[name])
            except ValueError as error:
                broken.append(f"{name} {error}")
    return nodes, broken


def _lods(manifest: Manifest, nodes: Mapping[str, Mapping[str, GlbNode]]) -> Iterator[str]:
    if [lod.index for lod in manifest.lods] != list(range(len(manifest.lods))) or not manifest.lods:
        yield "the levels are not numbered 0, 1, 2 ..."
    sizes = [lod.screen_size for lod in manifest.lods]
    if sizes != sorted(sizes, reverse=True):
        yield "screen sizes do not fall from level to level"
    for lod in manifest.lods:
        name = manifest.asset.mesh_name if lod.index == 0 else f"{manifest.asset.mesh_name}_LOD{lod.index}"
        node = nodes.get(lod.path, {}).get(name)
        if node is None:
            yield f"{lod.path} has no mesh called {name}"
        elif (node.triangles, node.vertices) != (lod.triangles, lod.vertices):
            found, wanted = f"{node.triangles} triangles, {node.vertices} vertices", f"{lod.triangles}, {lod.vertices}"
            yield f"{lod.path} has {found}, not {wanted}"


def _base_nodes(manifest: Manifest, nodes: Mapping[str, Mapping[str, GlbNode]]) -> Mapping[str, GlbNode]:
    return nodes.get(manifest.lods[0].path, {}) if manifest.lods else {}


def _collision(manifest: Manifest, nodes: Mapping[str, Mapping[str, GlbNode]]) -> Iterator[str]:
    base = _base_nodes(manifest, nodes)
    listed = {piece.name: piece for piece in manifest.collision.pieces}
    for name, piece in listed.items():
        node = base.get(name)
        if node is None:
            yield f"there is no {name}"
        elif (node.triangles, node.vertices) != (piece.triangles, piece.vertices):
            yield f"{name} has {node.triangles} triangles, not {piece.triangles}"
    extra = sorted(set(base) - set(listed) - {manifest.asset.mesh_name})
    yield from (f"{name} is not listed" for name in extra)


def _bounds(manifest: Manifest, nodes: Mapping[str, Mapping[str, GlbNode]]) -> Iterator[str]:
    node = _base_nodes(manifest, nodes).get(manifest.asset.mesh_name)
    if node is None:
        yield "there is no mesh to measure"
        return
    bounds = manifest.placement.bounds_cm
    # A GLB has metres and Y up; Unreal makes centimetres and Z up of it.
    low, high = (tuple(100.0 * corner[axis] for axis in (0, 2, 1)) for corner in (node.low_m, node.high_m))
    tolerance = BOUNDS_TOLERANCE * max(*(b - a for a, b in zip(low, high, strict=True)), 1e-3)
    pairs = (*zip(low, bounds.min, strict=True), *zip(high, bounds.max, strict=True))
    if any(abs(found - wanted) > tolerance for found, wanted in pairs):
        yield f"the mesh spans {_numbers(low)} to {_numbers(high)} cm"
    height = high[2] - low[2]
    if abs(height - manifest.placement.height_cm) > tolerance:
        yield f"the mesh is {height:.3f} cm high, not {manifest.placement.height_cm:.3f} cm"


def _numbers(corner: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in corner) + ")"


def _textures(contents: PackageContents, manifest: Manifest) -> Iterator[str]:
    roles = {entry.path: entry.role for entry in manifest.files}
    for texture in manifest.textures:
        if roles.get(texture.path) != texture.role:
            yield f"{texture.path} is not listed as {texture.role}"
        elif texture.path in contents.files:
            yield from _texture(contents.files[texture.path], texture)


def _texture(data: bytes, texture: TextureEntry) -> Iterator[str]:
    try:
        width, height, depth, _ = png_size(data)
    except ValueError as error:
        yield f"{texture.path} {error}"
        return
    if (width, height) != (texture.size_px, texture.size_px):
        yield f"{texture.path} is {width} x {height} px, not {texture.size_px}"
    if depth != texture.bit_depth:
        yield f"{texture.path} has {depth} bits a channel, not {texture.bit_depth}"
    wanted = "sRGB" if texture.role in SRGB_ROLES else "linear"
    marked = "sRGB" if b"sRGB\x00" in data[33:64] else "linear"
    if not wanted == marked == texture.color_space:
        yield f"{texture.path} is marked {marked} and listed as {texture.color_space}, but should be {wanted}"


def _material(manifest: Manifest) -> Iterator[str]:
    names = {texture.name for texture in manifest.textures}
    for parameter, texture in manifest.material.textures.items():
        if texture not in names:
            yield f"{parameter} asks for {texture}"
