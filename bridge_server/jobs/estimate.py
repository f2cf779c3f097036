"""How far a job is and when it will end, from how long its stages usually take."""

from collections.abc import Mapping
from datetime import datetime

from bridge_server.jobs.job import Job, JobState, StageState


def usual_weights(job: Job, usual_s: Mapping[str, float]) -> dict[str, float]:
    """Seconds each stage of the job usually takes; the median of the known ones where nothing is known of it."""
    known = sorted(usual_s[stage.stage] for stage in job.stages if stage.stage in usual_s)
    guess = known[len(known) // 2] if known else 1.0
    return {stage.stage: max(usual_s.get(stage.stage, guess), 1e-3) for stage in job.stages}


def fraction_of(job: Job, usual_s: Mapping[str, float]) -> float:
    """How far the whole job is, 0 to 1, each stage weighted by how long it usually takes."""
    if job.state is JobState.SUCCEEDED:
        return 1.0
    weights = usual_weights(job, usual_s)
    total = sum(weights.values())
    return sum(weights[stage.stage] * stage.fraction for stage in job.stages) / total if total else 0.0


def eta_seconds(job: Job, usual_s: Mapping[str, float], now: datetime) -> float | None:
    """Seconds until a running job will likely end; None while nothing is known.

    A stage at work counts with the rest of its usual time, or, once it is slower than usual, with what its own
    pace foretells.
    """
    if job.state is not JobState.RUNNING or not any(stage.stage in usual_s for stage in job.stages):
        return None
    weights = usual_weights(job, usual_s)
    left_s = 0.0
    for stage in job.stages:
        if stage.state is StageState.FINISHED:
            continue
        usual_left_s = weights[stage.stage] * (1.0 - stage.fraction)
        gone_s = (now - stage.started).total_seconds() if stage.started else 0.0
        by_pace_s = gone_s * (1.0 - stage.fraction) / stage.fraction if stage.fraction > 0.05 else 0.0
        left_s += max(usual_left_s, by_pace_s if gone_s > weights[stage.stage] else 0.0)
    return left_s
