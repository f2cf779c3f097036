"""A preset: a JSON document that lists stages with their fields, as users save and edit it.

    {"schema": "open3dforge.preset.v1", "name": "...", "description": "...", "asset_type": "static_mesh",
     "quality": "balanced", "generator": "embedded", "backends": {"raycaster": "auto"}, "nanite": false,
     "stages": [{"stage": "decimate", "triangle_count": 10000}, ...]}

A field that is left out keeps the stage's default. A stage that is left out does not run.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from bridge_server.errors import PlanError
from bridge_server.pipeline.document import DocumentReader, dump, refuse
from bridge_server.pipeline.fields import FieldDescription, FieldValue, fields_of
from bridge_server.pipeline.registry import REGISTRY, Registry
from bridge_server.stages.stage import Stage

SCHEMA = "open3dforge.preset.v1"


class AssetType(enum.StrEnum):
    """What Unreal imports it as."""

    STATIC_MESH = "static_mesh"
    SKELETAL_MESH = "skeletal_mesh"


_TEXTS = (
    FieldDescription(name="name", type="str", default="", doc="File name without extension."),
    FieldDescription(name="description", type="str", default="", doc="One sentence for lists."),
    FieldDescription(
        name="asset_type",
        type="enum",
        default=AssetType.STATIC_MESH,
        choices=tuple(AssetType),
        choose=AssetType,
    ),
    FieldDescription(name="quality", type="str", default="balanced", doc="Name of a quality file."),
    FieldDescription(name="generator", type="str", default="auto", doc="Which generator turns photos into a shape."),
    FieldDescription(name="nanite", type="bool", default=False, doc="Whether Unreal builds Nanite data."),
)
_REQUIRED = ("name", "asset_type", "quality")
_OVERRIDABLE = ("asset_type", "quality", "generator", "nanite")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """One stage of a preset with the fields that differ from its defaults."""

    stage: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)

    def build(self, registry: Registry = REGISTRY) -> Stage:
        """The stage object."""
        built: Stage = registry.stage_class(self.stage)(**self.fields)
        return built


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A checked preset: every stage exists and every value fits its field."""

    name: str
    description: str = ""
    asset_type: AssetType = AssetType.STATIC_MESH
    quality: str = "balanced"
    generator: str = "auto"
    """Name of a generator; ``mesh`` wants a mesh file instead of photos."""
    backends: Mapping[str, str] = field(default_factory=dict)
    """Kind -> name of the implementation, where it is not ``auto``."""
    nanite: bool = False
    stages: tuple[StageSpec, ...]

    @classmethod
    def from_json(cls, text: str | bytes, *, subject: str = "preset", registry: Registry = REGISTRY) -> Self:
        """Read a document. Raises ``PresetError`` that names everything that is wrong."""
        reader = DocumentReader(text, schema=SCHEMA, subject=subject)
        reader.refuse_unknown((*(f.name for f in _TEXTS), "backends", "stages"))
        settings = {f.name: reader.field(f, required=f.name in _REQUIRED) for f in _TEXTS}
        backends = _read_backends(reader, registry)
        stages = _read_stages(reader, registry)
        reader.finish()
        return cls(**settings, backends=backends, stages=stages)

    def to_json(self) -> str:
        """The document; equal presets give equal text."""
        content: dict[str, Any] = {"schema": SCHEMA} | {f.name: getattr(self, f.name) for f in _TEXTS}
        content["backends"] = dict(sorted(self.backends.items()))
        content["stages"] = [{"stage": spec.stage, **spec.fields} for spec in self.stages]
        return dump(content)

    def spec(self, stage: str) -> StageSpec | None:
        """The entry of a stage; None where the preset leaves it out."""
        return next((spec for spec in self.stages if spec.stage == stage), None)

    def with_overrides(self, overrides: Iterable[str], *, registry: Registry = REGISTRY) -> Self:
        """The preset with ``stage.field=value`` settings laid over it; the last one of a field wins.

        ``quality=hero``, ``generator=...``, ``nanite=true``, ``asset_type=...`` and ``backends.<kind>=<name>`` set
        the preset's own fields. Raises ``PresetError`` that names every setting that cannot be.
        """
        result, problems = self, []
        for override in overrides:
            try:
                result = result._with_override(override, registry)
            except ValueError as error:
                problems.append(f"{override}: {error}")
        refuse(problems, f"preset {self.name!r}")
        return result

    def _with_override(self, override: str, registry: Registry) -> Self:
        target, equals, text = override.partition("=")
        if not equals:
            raise ValueError("must look like stage.field=value")
        owner, dot, name = target.strip().partition(".")
        if not dot:
            return self._with_own_field(owner, text)
        if owner == "backends":
            _judge_kind(name, registry)
            return replace(self, backends={**self.backends, name: text.strip()})
        spec = self.spec(owner)
        if spec is None:
            listed = ", ".join(each.stage for each in self.stages)
            raise ValueError(f"the preset has no stage {owner!r}; it has {listed}")
        known = fields_of(registry.stage_class(owner))
        if name not in known:
            raise ValueError(f"stage {owner!r} has no field {name!r}; it has {', '.join(known) or 'none'}")
        changed = StageSpec(stage=owner, fields={**spec.fields, name: known[name].parse(text)})
        return replace(self, stages=tuple(changed if each is spec else each for each in self.stages))

    def _with_own_field(self, name: str, text: str) -> Self:
        if name not in _OVERRIDABLE:
            raise ValueError(f"must look like stage.field=value, or set one of {', '.join(_OVERRIDABLE)}")
        described = next(f for f in _TEXTS if f.name == name)
        changes: dict[str, Any] = {name: described.parse(text.strip())}
        return replace(self, **changes)


def _judge_kind(kind: str, registry: Registry) -> None:
    if kind == "generator":
        raise ValueError("the generator is set by the field 'generator'")
    if kind not in registry.kinds:
        known = ", ".join(each for each in registry.kinds if each != "generator")
        raise ValueError(f"there is no kind of backend {kind!r}; known are {known}")


def _read_backends(reader: DocumentReader, registry: Registry) -> dict[str, str]:
    given = reader.content.get("backends", {})
    if not isinstance(given, dict):
        reader.problem("backends", f"must be an object of kind: name, not {given!r}")
        return {}
    for kind, name in given.items():
        try:
            _judge_kind(kind, registry)
        except ValueError as error:
            reader.problem(f"backends.{kind}", str(error))
        if not isinstance(name, str) or not name:
            reader.problem(f"backends.{kind}", f"must be the name of a backend, not {name!r}")
    return given


def _read_stages(reader: DocumentReader, registry: Registry) -> tuple[StageSpec, ...]:
    given = reader.content.get("stages")
    if not isinstance(given, list) or not given:
        reader.problem("stages", "must be a list of at least one stage")
        return ()
    specs: list[StageSpec] = []
    for index, entry in enumerate(given):
        path = f"stages[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("stage"), str):
            reader.problem(path, 'must be an object with the name of a stage under "stage"')
            continue
        name = entry["stage"]
        if any(spec.stage == name for spec in specs):
            reader.problem(path, f"stage {name!r} stands in the list already")
            continue
        spec = _read_stage(reader, registry, name, entry, f"{path} {name}")
        specs.extend([spec] if spec else [])
    return tuple(specs)


def _read_stage(
    reader: DocumentReader, registry: Registry, name: str, entry: Mapping[str, object], path: str
) -> StageSpec | None:
    try:
        known = fields_of(registry.stage_class(name))
    except PlanError as error:
        reader.problem(path, f"{error.message} {error.remedy}".rstrip("."))
        return None
    accepted = {}
    for key, value in entry.items():
        if key == "stage":
            continue
        if key not in known:
            reader.problem(f"{path}.{key}", f"is no field of this stage; it has {', '.join(known) or 'none'}")
            continue
        accepted[key] = reader.judge(known[key], value, f"{path}.{key}")
    return StageSpec(stage=name, fields=accepted)
