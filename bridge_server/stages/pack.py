"""Pack: several linear maps in the channels of one image."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.stages.stage import Stage
from bridge_server.values.texture import AoMap, MetallicRoughnessMap, PackedMap, Packing

NO_DETAIL = 0
"""Unity's detail mask where there is no detail map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack(Stage):
    """Occlusion, roughness and metallic, in the channels that an engine expects."""

    name: ClassVar[str] = "pack"
    writes: ClassVar[str] = "packed"
    version: ClassVar[int] = 1

    packing: Packing = Packing.ORM
    """``orm`` for Unreal, ``metallic_roughness`` for glTF, ``mask_map`` for Unity HDRP."""

    def __call__(self, run: Run, *, ao: AoMap, metallic_roughness: MetallicRoughnessMap) -> PackedMap:
        """Bytes are moved, never rescaled. Raises ``StageFailed`` where the maps differ in size."""
        run.checkpoint(0.0, "packing channels")
        occlusion = ao.pixels
        metallic, roughness = metallic_roughness.pixels[:, :, 0], metallic_roughness.pixels[:, :, 1]
        if occlusion.shape != metallic.shape:
            raise StageFailed(
                f"the occlusion map is {occlusion.shape[0]} px, metallic and roughness are {metallic.shape[0]} px.",
                subject="pack",
                remedy="Bake both from the same trace.",
            )
        if self.packing is Packing.MASK_MAP:
            channels = [metallic, occlusion, np.full_like(metallic, NO_DETAIL), 255 - roughness]
        else:
            channels = [occlusion, roughness, metallic]
        return PackedMap(packing=self.packing, pixels=np.stack(channels, axis=2))
