"""The asset: a frozen record of slots that the stages fill one by one."""

from dataclasses import dataclass

from bridge_server.values.baked_maps import BakedMaps
from bridge_server.values.checklist import Checklist
from bridge_server.values.collision import Collision
from bridge_server.values.image import Cutouts, Photos
from bridge_server.values.lod import LodChain
from bridge_server.values.mesh import HighPoly, LowPoly, UnwrappedMesh
from bridge_server.values.package import ExportedFiles, Pictures
from bridge_server.values.placement import Placement
from bridge_server.values.quads import QuadLayout
from bridge_server.values.source import MeshSource
from bridge_server.values.texture import AlbedoMap, AoMap, MetallicRoughnessMap, NormalMap, PackedMap, TexelHits


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Every slot there is; None where no stage has written it yet.

    ``photos`` and ``mesh_source`` are the inputs; ``low_source`` comes with a mesh for a bake alone.
    """

    photos: Photos | None = None
    mesh_source: MeshSource | None = None
    low_source: MeshSource | None = None
    cutouts: Cutouts | None = None
    high_poly: HighPoly | None = None
    low_poly: LowPoly | None = None
    unwrapped: UnwrappedMesh | None = None
    quads: QuadLayout | None = None
    texel_hits: TexelHits | None = None
    normal: NormalMap | None = None
    albedo: AlbedoMap | None = None
    metallic_roughness: MetallicRoughnessMap | None = None
    ao: AoMap | None = None
    packed: PackedMap | None = None
    baked_maps: BakedMaps | None = None
    lods: LodChain | None = None
    collision: Collision | None = None
    placement: Placement | None = None
    pictures: Pictures | None = None
    checklist: Checklist | None = None
    files: ExportedFiles | None = None
