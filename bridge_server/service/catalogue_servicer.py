"""Presets, stages, generators and backends over gRPC."""

import grpc
from open3dforge.v1 import catalogue_pb2, catalogue_pb2_grpc

from bridge_server.backends.table import Availability
from bridge_server.errors import NotFound
from bridge_server.pipeline.describe import describe_stages
from bridge_server.pipeline.preset import Preset
from bridge_server.pipeline.preset_library import PresetEntry, PresetLibrary
from bridge_server.service import convert
from bridge_server.service.diagnostics import SeenBackend, look_at_backends
from bridge_server.service.names import bare

MESH_GENERATOR = SeenBackend(
    kind="generator",
    name="mesh",
    availability=Availability(available=True, detail="takes a GLB, FBX, OBJ, PLY or STL file in place of photos"),
)


class CatalogueServicer(catalogue_pb2_grpc.CatalogueServiceServicer):
    """Answers from the preset library and the tables of backends. Presets belong to the server, not to a user."""

    def __init__(self, library: PresetLibrary) -> None:
        self._library = library

    def ListPresets(  # noqa: N802 - the contract names it
        self, request: catalogue_pb2.ListPresetsRequest, context: grpc.ServicerContext
    ) -> catalogue_pb2.ListPresetsResponse:
        """Every preset, by name; a wrong document is listed with its problem."""
        del request, context
        entries = sorted(self._library.entries(), key=lambda entry: entry.name)
        return catalogue_pb2.ListPresetsResponse(presets=[convert.preset_message(entry) for entry in entries])

    def GetPreset(  # noqa: N802
        self, request: catalogue_pb2.GetPresetRequest, context: grpc.ServicerContext
    ) -> catalogue_pb2.GetPresetResponse:
        """One preset with its document."""
        del context
        preset = self._library.load(bare(request.name, "presets"))
        return catalogue_pb2.GetPresetResponse(preset=self._message(preset))

    def SavePreset(  # noqa: N802
        self, request: catalogue_pb2.SavePresetRequest, context: grpc.ServicerContext
    ) -> catalogue_pb2.SavePresetResponse:
        """Check a document and keep it."""
        del context
        preset = Preset.from_json(request.document, registry=self._library.registry)
        self._library.save(preset, overwrite=request.overwrite)
        return catalogue_pb2.SavePresetResponse(preset=self._message(preset))

    def DeletePreset(  # noqa: N802
        self, request: catalogue_pb2.DeletePresetRequest, context: grpc.ServicerContext
    ) -> catalogue_pb2.DeletePresetResponse:
        """Remove a saved preset."""
        del context
        self._library.delete(bare(request.name, "presets"))
        return catalogue_pb2.DeletePresetResponse()

    def DescribeStages(  # noqa: N802
        self, request: catalogue_pb2.DescribeStagesRequest, context: grpc.ServicerContext
    ) -> catalogue_pb2.DescribeStagesResponse:
        """Every stage with its settings, in the order of the road."""
        del request, context
        stages = [convert.stage_description_message(stage) for stage in describe_stages(self._library.registry)]
        return catalogue_pb2.DescribeStagesResponse(stages=stages)

    def ListGenerators(  # noqa: N802
        self, request: catalogue_pb2.ListGeneratorsRequest, context: grpc.ServicerContext
    ) -> catalogue_pb2.ListGeneratorsResponse:
        """Generators of images, and ``mesh``, which needs no backend."""
        del request, context
        generators = look_at_backends(self._library.registry.kinds["generator"])
        if all(generator.name != MESH_GENERATOR.name for generator in generators):
            generators = (*generators, MESH_GENERATOR)
        return catalogue_pb2.ListGeneratorsResponse(generators=[convert.backend_message(each) for each in generators])

    def ListBackends(  # noqa: N802
        self, request: catalogue_pb2.ListBackendsRequest, context: grpc.ServicerContext
    ) -> catalogue_pb2.ListBackendsResponse:
        """Backends of one kind or of all."""
        del context
        kinds = self._library.registry.kinds
        if request.kind and request.kind not in kinds:
            known = ", ".join(kinds)
            raise NotFound("there is no such kind of backend.", subject=request.kind[:80], remedy=f"Known: {known}.")
        wanted = [kinds[request.kind]] if request.kind else list(kinds.values())
        found = [convert.backend_message(each) for kind in wanted for each in look_at_backends(kind)]
        return catalogue_pb2.ListBackendsResponse(backends=found)

    def _message(self, preset: Preset) -> catalogue_pb2.Preset:
        shipped = self._library.is_shipped(preset.name)
        return convert.preset_message(PresetEntry(name=preset.name, shipped=shipped, preset=preset))
