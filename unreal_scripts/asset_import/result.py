"""What an import came to: what Unreal holds now, and whatever it did not take over."""

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Finding:
    """One thing that differs from the manifest, or a fallback that was taken."""

    code: str
    message: str
    severity: str = "warning"
    """``info`` for a fallback that served, ``warning`` for something lost or different."""


@dataclass
class ImportResult:
    """Filled while the import goes on; complete when it has returned."""

    mesh_path: str = ""
    material_path: str = ""
    texture_paths: list[str] = field(default_factory=list)
    skeleton_path: str = ""
    physics_asset_path: str = ""
    updated: bool = False
    """True where the asset was there before and was updated in place."""
    lod_count: int = 0
    lod_triangles: list[int] = field(default_factory=list)
    collision_count: int = 0
    height_cm: float = 0.0
    nanite: bool = False
    engine_version: str = ""
    findings: list[Finding] = field(default_factory=list)

    def note(self, code: str, message: str, severity: str = "warning") -> None:
        """Add a finding."""
        self.findings.append(Finding(code, message, severity))

    def to_json(self) -> dict[str, object]:
        """Plain values for a result file."""
        return asdict(self)

    def summary(self) -> str:
        """A few lines for a person."""
        verb = "Updated" if self.updated else "Imported"
        lines = [
            f"{verb} {self.mesh_path}: {self.lod_count} LODs ({', '.join(map(str, self.lod_triangles))} triangles), "
            f"{self.collision_count} collision shapes, {self.height_cm:.1f} cm high."
        ]
        lines += [f"{finding.severity}: {finding.message}" for finding in self.findings]
        return "\n".join(lines)
