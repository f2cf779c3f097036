"""Which stages and which kinds of backends there are: explicit tables, loaded when used.

Everything that needs them takes a ``Registry``, so tests hand in their own; ``REGISTRY`` is the product's.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_type_hints

from bridge_server.backends.decomposer.base import DECOMPOSERS
from bridge_server.backends.generator.base import GENERATORS
from bridge_server.backends.inpainter.base import INPAINTERS
from bridge_server.backends.matting.base import MATTINGS
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.rasterizer.base import RASTERIZERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.table import BackendKind
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.errors import PlanError
from bridge_server.stages.stage import Stage
from bridge_server.values.asset import Asset
from bridge_server.values.base import Value


@dataclass(frozen=True, slots=True)
class Registry:
    """Stages and kinds of backends by name."""

    stages: Mapping[str, str]
    """name -> ``"module:Class"``, in the order of the road."""
    kinds: Mapping[str, BackendKind[Any]]
    """Parameter name in a stage's call signature -> its table of implementations."""

    def stage_class(self, name: str) -> type[Stage]:
        """Import the class of a stage. Raises ``PlanError`` for an unknown name."""
        if name not in self.stages:
            known = ", ".join(self.stages)
            raise PlanError("there is no such stage.", subject=f"stage {name!r}", remedy=f"Known: {known}.")
        module, _, class_name = self.stages[name].partition(":")
        found: type[Stage] = getattr(importlib.import_module(module), class_name)
        return found


@lru_cache(maxsize=1)
def slot_types() -> Mapping[str, type[Value]]:
    """Slot name -> the class of what lies in it, read off ``Asset``."""
    hints = get_type_hints(Asset)
    return {slot: next(kind for kind in hint.__args__ if kind is not type(None)) for slot, hint in hints.items()}


REGISTRY = Registry(
    stages={
        "matte": "bridge_server.stages.matte:Matte",
        "generate": "bridge_server.stages.generate:Generate",
        "load_mesh": "bridge_server.stages.load_mesh:LoadMesh",
        "load_low": "bridge_server.stages.load_low:LoadLow",
        "repair": "bridge_server.stages.repair:Repair",
        "remesh": "bridge_server.stages.remesh:Remesh",
        "clean": "bridge_server.stages.clean:Clean",
        "symmetry": "bridge_server.stages.symmetry:Symmetry",
        "decimate": "bridge_server.stages.decimate:Decimate",
        "unwrap": "bridge_server.stages.unwrap:Unwrap",
        "quadrangulate": "bridge_server.stages.quadrangulate:Quadrangulate",
        "trace": "bridge_server.stages.trace:Trace",
        "bake_normal": "bridge_server.stages.bake_normal:BakeNormal",
        "bake_albedo": "bridge_server.stages.bake_albedo:BakeAlbedo",
        "bake_metallic_roughness": "bridge_server.stages.bake_metallic_roughness:BakeMetallicRoughness",
        "bake_ao": "bridge_server.stages.bake_ao:BakeAo",
        "inpaint": "bridge_server.stages.inpaint:Inpaint",
        "pack": "bridge_server.stages.pack:Pack",
        "bake_maps": "bridge_server.stages.bake_maps:BakeMaps",
        "lods": "bridge_server.stages.lods:Lods",
        "collision": "bridge_server.stages.collision:MakeCollision",
        "place": "bridge_server.stages.place:Place",
        "render": "bridge_server.stages.render:Render",
        "checklist": "bridge_server.stages.checklist:MakeChecklist",
        "export": "bridge_server.stages.export:Export",
    },
    kinds={
        kind.name: kind
        for kind in (
            MATTINGS,
            GENERATORS,
            MESH_FILTERS,
            RAYCASTERS,
            RASTERIZERS,
            UNWRAPPERS,
            DECOMPOSERS,
            INPAINTERS,
        )
    },
)
