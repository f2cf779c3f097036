"""Game readiness, rule by rule."""

import enum
from dataclasses import dataclass

from bridge_server.values.base import Value


class Verdict(enum.StrEnum):
    """Outcome of one rule, from good to bad."""

    PASS = "pass"
    SKIPPED = "skipped"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule with its figure."""

    rule: str
    """Stable lower-case name, e.g. ``triangle_budget``."""
    title: str
    verdict: Verdict
    figure: str
    """What was measured, with its unit."""
    limit: str = ""
    """What it was held against."""
    remedy: str = ""
    """What to change where the verdict is not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist(Value):
    """All rules that apply to the asset."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all rules; skipped rules do not count."""
        order = (Verdict.PASS, Verdict.WARN, Verdict.FAIL)
        found = [check.verdict for check in self.checks if check.verdict in order]
        return max(found, key=order.index, default=Verdict.PASS)
