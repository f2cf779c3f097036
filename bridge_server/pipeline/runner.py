"""Walks a plan: what is in the store is taken from there, what is not is handed to the executor.

    record = Runner(store, executor).run(plan, {"photos": photos}, on_event, cancel)
    asset = asset_from(record, store)

The key of a stage's result is the digest of its name, version and fields, the identities of its backends and the
digests of the slots it reads; so a change re-runs what is downstream of it and nothing else.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace

from bridge_server import __version__
from bridge_server.errors import Cancelled, ForgeError
from bridge_server.pipeline.codec import canonical_json
from bridge_server.pipeline.events import (
    Event,
    RunCancelled,
    RunFailed,
    RunFinished,
    RunStarted,
    StageFinished,
    StageProgress,
    StageStarted,
)
from bridge_server.pipeline.executor import Executor, Outcome, Task
from bridge_server.pipeline.plan import Plan, PlannedStage
from bridge_server.pipeline.record import RunRecord, StageRecord
from bridge_server.pipeline.store import Store
from bridge_server.values.asset import Asset
from bridge_server.values.base import Notice, Value

PROGRESS_INTERVAL_S = 0.2
OnEvent = Callable[[Event], None]


def ignore_event(event: Event) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs plans; has no state of its own, so one serves any number of threads."""

    store: Store
    executor: Executor

    def run(
        self,
        plan: Plan,
        inputs: Mapping[str, Value],
        on_event: OnEvent = ignore_event,
        cancel: threading.Event | None = None,
    ) -> RunRecord:
        """Run to the end. ``on_event`` is called on this thread, and never again once this returns or raises.

        ``inputs`` holds the slots that the plan was made for. Setting ``cancel`` stops the run within a fraction of
        a second and raises ``Cancelled``. Raises the ``ForgeError`` of the stage that failed; what ran before it
        stays in the store, so the next run starts there.
        """
        started = time.perf_counter()
        walk = _Walk(self.store, self.executor, plan, on_event, cancel or threading.Event())
        on_event(RunStarted(stages=plan.stage_names))
        stage = ""
        try:
            for slot in sorted(plan.inputs):
                walk.slots[slot] = self.store.put(inputs[slot]).digest
            for index, step in enumerate(plan.steps):
                stage = step.stage.name
                walk.take(index, step)
        except Cancelled:
            on_event(RunCancelled(stage=stage))
            raise
        except ForgeError as error:
            error.subject = error.subject or f"stage {stage!r}"
            on_event(_failure(stage, error))
            raise
        seconds = time.perf_counter() - started
        on_event(RunFinished(seconds=seconds))
        return RunRecord(
            seconds=seconds,
            slots=walk.slots,
            stages=tuple(walk.records),
            backends={chosen.kind.name: chosen.identity for step in plan.steps for chosen in step.backends},
            plan_notices=plan.notices,
        )


def asset_from(record: RunRecord, store: Store) -> Asset:
    """The finished asset, its arrays mapped from the store's files. Raises ``StoreError`` where one was pruned."""
    slots = {field.name: store.get(record.slots[field.name]) for field in fields(Asset) if field.name in record.slots}
    return Asset(**slots)  # type: ignore[arg-type]  # each slot holds what its stage declared; ``perform`` checked it


def result_key(step: PlannedStage, inputs: Mapping[str, str]) -> str:
    """What a stage's result is filed under; ``inputs`` are digests by slot."""
    stage = step.stage
    content = {
        "schema": "open3dforge.key.v1",
        "release": __version__,
        "stage": stage.name,
        "version": stage.version,
        "fields": {each.name: getattr(stage, each.name) for each in fields(stage)},
        "backends": [[chosen.kind.name, chosen.identity] for chosen in step.backends],
        "inputs": dict(inputs),
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


@dataclass(slots=True)
class _Walk:
    """One run under way."""

    store: Store
    executor: Executor
    plan: Plan
    on_event: OnEvent
    cancel: threading.Event
    slots: dict[str, str] = field(default_factory=dict)
    records: list[StageRecord] = field(default_factory=list)

    def take(self, index: int, step: PlannedStage) -> None:
        """Have one stage's value in the store, from before or made now."""
        started = time.perf_counter()
        if self.cancel.is_set():
            raise Cancelled
        declared = step.declared
        reads = [slot for slot in (*declared.reads, *declared.optional_reads) if slot in self.slots]
        inputs = {slot: self.slots[slot] for slot in reads}
        key = result_key(step, inputs)
        result, retries = self.store.result(key), 0
        cached = result is not None
        if result is None:
            outcome = self._execute(index, step, inputs)
            result, retries = outcome.result, outcome.retries
            self.store.record(key, result)
        told = () if result.digest in inputs.values() else result.notices  # handed on untouched: told already
        notices = (*told, *_retry_notices(retries))
        record = StageRecord(
            stage=step.stage.name,
            seconds=time.perf_counter() - started,
            cached=cached,
            digest=result.digest,
            size_bytes=result.size_bytes,
            notices=notices,
            retries=retries,
        )
        self.records.append(record)
        self.slots[declared.writes] = result.digest
        count = len(self.plan.steps)
        self.on_event(
            StageFinished(
                stage=record.stage,
                index=index,
                count=count,
                overall=(index + 1) / count,
                cached=cached,
                seconds=record.seconds,
                notices=notices,
            )
        )

    def _execute(self, index: int, step: PlannedStage, inputs: Mapping[str, str]) -> Outcome:
        count = len(self.plan.steps)
        name = step.stage.name
        self.on_event(StageStarted(stage=name, index=index, count=count, overall=index / count))
        first = StageProgress(stage=name, index=index, count=count, fraction=0.0, overall=index / count)
        run = _ReportingRun(first, self.on_event, self.cancel)
        return self.executor.execute(Task(stage=step.stage, backends=step.backends, inputs=inputs), run)


@dataclass(slots=True)
class _ReportingRun:
    """A ``Run`` that turns checkpoints into events, a few times a second at most, and notices cancellation."""

    last: StageProgress
    on_event: OnEvent
    cancel: threading.Event
    next_report_s: float = 0.0

    def checkpoint(self, fraction: float, note: str = "") -> None:
        """See ``Run``."""
        if self.cancel.is_set():
            raise Cancelled
        now = time.monotonic()
        fraction = min(max(fraction, 0.0), 1.0)
        if now < self.next_report_s or (fraction, note) == (self.last.fraction, self.last.note):
            return
        self.next_report_s = now + PROGRESS_INTERVAL_S
        overall = (self.last.index + fraction) / self.last.count
        self.last = replace(self.last, fraction=fraction, note=note, overall=overall)
        self.on_event(self.last)


def _failure(stage: str, error: ForgeError) -> RunFailed:
    return RunFailed(
        stage=stage, reason=error.reason, message=error.message, subject=error.subject, remedy=error.remedy
    )


def _retry_notices(retries: int) -> tuple[Notice, ...]:
    if not retries:
        return ()
    times = "once" if retries == 1 else f"{retries} times"
    message = f"The process that ran this stage died {times}; the stage was run again and succeeded."
    return (Notice(code="stage_retried", message=message),)
