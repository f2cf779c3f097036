"""A quality: how much work the generator puts in. It fills the fields of the same names in ``generate``."""

from dataclasses import dataclass
from typing import Self

from bridge_server.pipeline.document import DocumentReader, dump
from bridge_server.pipeline.fields import FieldDescription

SCHEMA = "open3dforge.quality.v1"


def _count(name: str, default: int, low: int, high: int) -> FieldDescription:
    return FieldDescription(name=name, type="int", default=default, low=low, high=high)


_NAME = FieldDescription(name="name", type="str", default="")
_NUMBERS = (
    _count("resolution", 1024, 64, 4096),
    _count("sparse_structure_steps", 12, 1, 200),
    _count("shape_steps", 12, 1, 200),
    _count("texture_steps", 12, 1, 200),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Settings of a generator."""

    name: str
    resolution: int
    """Edge of the generator's grid."""
    sparse_structure_steps: int
    shape_steps: int
    texture_steps: int

    @classmethod
    def from_json(cls, text: str | bytes, *, subject: str = "quality") -> Self:
        """Read a document. Raises ``PresetError`` that names everything that is wrong."""
        reader = DocumentReader(text, schema=SCHEMA, subject=subject)
        reader.refuse_unknown(("name", *(field.name for field in _NUMBERS)))
        name = reader.field(_NAME, required=True)
        numbers = {field.name: reader.field(field, required=True) for field in _NUMBERS}
        reader.finish()
        return cls(name=name, **numbers)

    def to_json(self) -> str:
        """The document."""
        return dump({"schema": SCHEMA, "name": self.name, **self.numbers()})

    def numbers(self) -> dict[str, int]:
        """Field of ``generate`` -> value."""
        return {field.name: getattr(self, field.name) for field in _NUMBERS}
