"""What the package tells of the run that made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bridge_server.values.manifest import FallbackEntry, InputEntry, StageEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRecord:
    """Provenance, given by whoever ran the job, so that the same run gives the same package."""

    created: datetime
    """Aware; written in UTC."""
    job_id: str
    inputs: tuple[InputEntry, ...]
    preset: str
    preset_document: str
    """JSON text of the preset as it ran, with the user's changes."""
    nanite: bool = False
    generator: str
    backends: Mapping[str, str]
    """Backend kind -> identity."""
    fallbacks: tuple[FallbackEntry, ...]
    versions: Mapping[str, str]
    stages: tuple[StageEntry, ...]
    """In the order they ran."""
