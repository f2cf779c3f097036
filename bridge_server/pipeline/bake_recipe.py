"""The one recipe that is no preset: maps for a low poly that the user brought."""

from bridge_server.pipeline.preset import Preset, StageSpec

BAKE = "bake"
BAKE_PRESET = Preset(
    name=BAKE,
    description="Maps for a low poly from a high poly.",
    stages=(StageSpec(stage="load_low"), StageSpec(stage="bake_maps")),
)
"""``load_mesh`` leads to it and takes no settings: both meshes lie in the same place."""
