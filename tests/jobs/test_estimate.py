"""How far, and how long still."""

from datetime import UTC, datetime, timedelta

import pytest

from bridge_server.jobs.encoding import decode, encode
from bridge_server.jobs.estimate import eta_seconds, fraction_of
from bridge_server.jobs.job import Job, JobNotice, JobSpec, JobState, StageProgress, StageState
from bridge_server.values.base import Notice, Severity

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def job(*stages: StageProgress, state: JobState = JobState.RUNNING) -> Job:
    return Job(
        id="1",
        number=1,
        user="u",
        request_id="",
        spec=JobSpec(),
        inputs=(),
        asset_name="A",
        asset_type="static_mesh",
        preset="p",
        uses_gpu=False,
        created=NOW,
        state=state,
        stages=stages,
    )


def running(stage: str, fraction: float, for_s: float) -> StageProgress:
    started = NOW - timedelta(seconds=for_s)
    return StageProgress(stage=stage, state=StageState.RUNNING, fraction=fraction, started=started)


DONE = StageProgress(stage="a", state=StageState.FINISHED, fraction=1.0)
PENDING = StageProgress(stage="c")


def test_nothing_is_foretold_from_nothing() -> None:
    assert eta_seconds(job(DONE, running("b", 0.5, 1)), {}, NOW) is None
    assert eta_seconds(job(DONE, state=JobState.QUEUED), {"a": 1.0}, NOW) is None


def test_time_left_is_what_stages_usually_take() -> None:
    usual = {"a": 10.0, "b": 20.0, "c": 40.0}
    assert eta_seconds(job(DONE, running("b", 0.5, 10.0), PENDING), usual, NOW) == pytest.approx(50.0)


def test_a_stage_slower_than_usual_counts_by_its_own_pace() -> None:
    usual = {"b": 20.0}
    assert eta_seconds(job(DONE, running("b", 0.25, 60.0)), usual, NOW) == pytest.approx(180.0)


def test_an_unknown_stage_counts_as_the_median_of_the_known() -> None:
    usual = {"a": 10.0, "b": 30.0}
    left = eta_seconds(job(DONE, StageProgress(stage="b"), PENDING), usual, NOW)
    assert left == pytest.approx(60.0)


def test_the_fraction_weighs_stages_by_their_time() -> None:
    usual = {"a": 10.0, "b": 30.0}
    assert fraction_of(job(DONE, running("b", 0.5, 1)), usual) == pytest.approx(25 / 40)
    assert fraction_of(job(DONE, running("b", 0.5, 1)), {}) == pytest.approx(0.75)
    assert fraction_of(job(PENDING, state=JobState.SUCCEEDED), {}) == 1.0


def test_encoding_keeps_everything_and_fills_in_what_an_older_text_lacks() -> None:
    told = JobNotice(stage="b", notice=Notice(code="x", message="ü\u2028", severity=Severity.INFO))
    whole = Job(**{**{f: getattr(job(DONE), f) for f in Job.__dataclass_fields__}, "notices": (told,)})
    assert decode(Job, encode(whole)) == whole
    older = encode(whole).replace('"crashes":0,', "")
    assert older != encode(whole)
    assert decode(Job, older) == whole
