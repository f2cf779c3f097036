"""What a client needs to show every setting of every stage: a table without code."""

import inspect
from dataclasses import dataclass

from bridge_server.pipeline.fields import FieldDescription, fields_of
from bridge_server.pipeline.registry import REGISTRY, Registry
from bridge_server.stages.stage import declaration_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDescription:
    """One stage: what it does, reads and writes, and its settings."""

    name: str
    doc: str
    fields: tuple[FieldDescription, ...]
    backends: tuple[str, ...]
    """Kinds of backends that it uses."""
    reads: tuple[str, ...]
    optional_reads: tuple[str, ...]
    writes: str


def describe_stages(registry: Registry = REGISTRY) -> tuple[StageDescription, ...]:
    """Every stage, in the order of the road."""
    described = []
    for name in registry.stages:
        stage = registry.stage_class(name)
        declared = declaration_of(stage)
        described.append(
            StageDescription(
                name=name,
                doc=inspect.getdoc(stage) or "",
                fields=tuple(fields_of(stage).values()),
                backends=declared.backends,
                reads=declared.reads,
                optional_reads=declared.optional_reads,
                writes=declared.writes,
            )
        )
    return tuple(described)
