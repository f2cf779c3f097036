"""How rules speak: the few ways to make a ``Check``.

* PASS: the figure keeps its limit.
* WARN: the asset works in the engine, but somebody should look before it ships.
* FAIL: the engine would show, light or collide it wrongly, or refuse it.
* SKIPPED: there is nothing to judge, because the stage did not run or no limit was set.
"""

from bridge_server.values.checklist import Check, Verdict


def passed(rule: str, title: str, figure: str, limit: str = "") -> Check:
    """The rule is kept."""
    return Check(rule=rule, title=title, verdict=Verdict.PASS, figure=figure, limit=limit)


def skipped(rule: str, title: str, why: str) -> Check:
    """There is nothing to judge."""
    return Check(rule=rule, title=title, verdict=Verdict.SKIPPED, figure=why)


def judged(
    rule: str, title: str, *, ok: bool, figure: str, limit: str, remedy: str, otherwise: Verdict = Verdict.FAIL
) -> Check:
    """PASS where ``ok``, else ``otherwise`` with its remedy."""
    if ok:
        return passed(rule, title, figure, limit)
    return Check(rule=rule, title=title, verdict=otherwise, figure=figure, limit=limit, remedy=remedy)


def graded(rule: str, title: str, *, good: bool, bearable: bool, figure: str, limit: str, remedy: str) -> Check:
    """PASS where ``good``, WARN where only ``bearable``, else FAIL."""
    otherwise = Verdict.WARN if bearable else Verdict.FAIL
    return judged(rule, title, ok=good, figure=figure, limit=limit, remedy=remedy, otherwise=otherwise)


def share(part: float) -> str:
    """A share as per cent, with as many digits as tell something."""
    if part <= 0.0:
        return "0 %"
    return f"{part * 100:.3g} %" if part >= 0.001 else "under 0.1 %"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
