import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bridge_server.errors import Cancelled, DiskFull, ForgeError, InputError, StageFailed
from bridge_server.executors.inline import InlineExecutor
from bridge_server.pipeline.events import (
    Event,
    RunCancelled,
    RunFailed,
    RunFinished,
    RunStarted,
    StageEvent,
    StageFinished,
    StageProgress,
    StageStarted,
    event_from_json,
)
from bridge_server.pipeline.executor import Outcome, Task
from bridge_server.pipeline.plan import make_plan
from bridge_server.pipeline.record import RunRecord
from bridge_server.pipeline.runner import Runner, asset_from
from bridge_server.pipeline.store import Store
from bridge_server.run import Run
from bridge_server.values.source import MeshSource
from tests.pipeline.toy import REGISTRY, toy_photos, toy_recipe, toy_registry

ALL = ("matte", "generate", "symmetry", "decimate", "place", "bake_ao")


@dataclass
class Bench:
    store: Store
    runner: Runner

    def forge(self, *overrides: str, level: int = 0, **more: object) -> tuple[RunRecord, list[Event]]:
        events: list[Event] = []
        registry = more.pop("registry", REGISTRY)
        plan = make_plan(toy_recipe(*overrides, registry=registry), {"photos"}, registry=registry)  # type: ignore[arg-type]
        try:
            record = self.runner.run(plan, {"photos": toy_photos(level)}, events.append, **more)  # type: ignore[arg-type]
        finally:
            self.events = events
        return record, events

    def ran(self, *overrides: str, **more: object) -> list[str]:
        record, _ = self.forge(*overrides, **more)  # type: ignore[arg-type]
        return [stage.stage for stage in record.stages if not stage.cached]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = Store(tmp_path / "store")
    return Bench(store, Runner(store, InlineExecutor(store)))


def test_a_run_fills_the_asset(bench: Bench) -> None:
    record, _ = bench.forge("bake_ao.level=9", "decimate.triangle_count=40")
    asset = asset_from(record, bench.store)
    assert asset.ao is not None
    assert (asset.ao.pixels == 9).all()
    assert asset.low_poly is not None
    assert asset.low_poly.target_triangle_count == 40
    assert asset.photos is not None
    assert asset.lods is None
    low, high = asset.high_poly.mesh.bounds_m  # type: ignore[union-attr]
    assert np.allclose(high - low, (2.0, 2.0, 128.0))  # generate's box with the quality's 64, doubled by symmetry
    assert record.backends == {"generator": "toy 1"}
    assert set(record.slots) == {"photos", "cutouts", "high_poly", "low_poly", "placement", "ao"}
    assert asset.placement is not None
    assert asset.placement.scale == 2.0  # an optional slot that is there is handed over


def test_an_optional_slot_that_is_missing_is_left_out(bench: Bench) -> None:
    plan = make_plan(toy_recipe(), {"mesh_source"}, registry=REGISTRY)
    record = bench.runner.run(plan, {"mesh_source": MeshSource(name="a.obj", data=b"x")})
    assert [stage.stage for stage in record.stages] == ["load_mesh", "symmetry", "decimate", "place", "bake_ao"]
    placement = asset_from(record, bench.store).placement
    assert placement is not None
    assert placement.scale == 1.0


def test_a_stage_that_hands_on_its_input_does_not_repeat_its_notices(bench: Bench) -> None:
    plan = make_plan(toy_recipe("symmetry.off=true"), {"mesh_source"}, registry=REGISTRY)
    for _ in range(2):
        record = bench.runner.run(plan, {"mesh_source": MeshSource(name="a.obj", data=b"x")})
        assert [(told.stage, told.notice.code) for told in record.notices] == [("load_mesh", "loaded")]
        assert record.stages[0].digest == record.stages[1].digest


def test_only_what_is_downstream_of_a_change_runs_again(bench: Bench) -> None:
    assert bench.ran() == list(ALL)
    assert bench.ran() == []
    assert bench.ran("place.height_cm=7") == ["place"]
    assert bench.ran("decimate.triangle_count=77") == ["decimate", "place", "bake_ao"]
    assert bench.ran("matte.softness=0.25") == ["matte"]  # its value is the same, so nothing below it changes
    assert bench.ran("generate.resolution=65") == ["generate", "symmetry", "decimate", "place", "bake_ao"]
    assert bench.ran("generator=second") == ["generate", "symmetry", "decimate", "place", "bake_ao"]
    assert bench.ran(level=1) == [*ALL[:2], "place"]
    assert bench.ran() == []


def test_a_new_version_of_a_stage_runs_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ran()
    monkeypatch.setattr("tests.pipeline.toy.ToyPlace.version", 2)
    assert bench.ran() == ["place"]


def test_a_new_release_runs_everything_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ran()
    monkeypatch.setattr("bridge_server.pipeline.runner.__version__", "99.0")
    assert bench.ran() == list(ALL)


def test_events_of_a_first_run(bench: Bench) -> None:
    record, events = bench.forge()
    assert events[0] == RunStarted(stages=ALL)
    assert isinstance(events[-1], RunFinished)
    started = [event.stage for event in events if isinstance(event, StageStarted)]
    finished = [event for event in events if isinstance(event, StageFinished)]
    assert started == list(ALL)
    assert [event.stage for event in finished] == list(ALL)
    assert not any(event.cached for event in finished)
    assert finished[0].notices[0].code == "toy"
    overall = [event.overall for event in events if isinstance(event, StageEvent)]
    assert overall == sorted(overall)
    assert overall[-1] == 1.0
    assert StageProgress(stage="matte", index=0, count=6, fraction=0.5, note="half", overall=0.5 / 6) in events
    assert [told.notice.code for told in record.fallbacks] == ["toy"]
    assert all(event_from_json(event.to_json()) == event for event in events)


def test_a_cached_run_replays_notices_and_starts_nothing(bench: Bench) -> None:
    bench.forge()
    record, events = bench.forge()
    assert not any(isinstance(event, StageStarted | StageProgress) for event in events)
    assert [event.cached for event in events if isinstance(event, StageFinished)] == [True] * 6
    assert [told.notice.code for told in record.fallbacks] == ["toy"]


def test_the_record_survives_json(bench: Bench) -> None:
    record, _ = bench.forge(registry=toy_registry("missing", "toy"))
    back = RunRecord.from_json(record.to_json())
    assert back == record
    assert [told.notice.code for told in back.fallbacks] == ["generator_fallback", "toy"]
    assert back.digests >= set(back.slots.values())
    assert len(back.digests) == 7  # six stages (one of them replaced its slot) and the photos


def test_progress_is_throttled_but_the_first_word_is_told(bench: Bench) -> None:
    _, events = bench.forge("bake_ao.seconds=1.0")
    told = [event for event in events if isinstance(event, StageProgress) and event.stage == "bake_ao"]
    assert 3 <= len(told) <= 7
    assert told[0].fraction == 0.0 or told[0].note == "step 0"
    fractions = [event.fraction for event in told]
    assert fractions == sorted(fractions)


def test_a_failure_names_the_stage_and_keeps_what_was_done(bench: Bench) -> None:
    with pytest.raises(InputError) as caught:
        bench.forge("bake_ao.conduct=input error")
    assert (caught.value.subject, caught.value.remedy, caught.value.reason) == ("cup.png", "Mend it.", "VERY_BAD")
    assert bench.events[-1] == RunFailed(
        stage="bake_ao", reason="VERY_BAD", message="is bad.", subject="cup.png", remedy="Mend it."
    )
    assert bench.ran() == ["bake_ao"]


@pytest.mark.parametrize(
    ("conduct", "words"),
    [
        ("bug", r"ZeroDivisionError: one over nothing \(toy.py:\d+\)"),
        ("wrong type", "returned LowPoly, not AoMap"),
        ("out of memory", "memory ran out"),
    ],
)
def test_unplanned_errors_become_stage_failures(bench: Bench, conduct: str, words: str) -> None:
    with pytest.raises(StageFailed, match=words) as caught:
        bench.forge(f"bake_ao.conduct={conduct}")
    assert caught.value.subject == "bake_ao"
    assert isinstance(bench.events[-1], RunFailed)


def test_cancelling_stops_a_running_stage(bench: Bench) -> None:
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(Cancelled):
        bench.forge("bake_ao.seconds=3000", cancel=cancel)  # far longer than the test may take
    assert bench.events[-1] == RunCancelled(stage="bake_ao")
    assert bench.ran() == ["bake_ao"]


def test_a_run_cancelled_before_it_starts_does_nothing(bench: Bench) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        bench.forge(cancel=cancel)
    assert [type(event) for event in bench.events] == [RunStarted, RunCancelled]


def test_a_store_that_cannot_be_written_fails_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store, value: object) -> None:
        raise DiskFull("no space left.", subject="here")

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(DiskFull):
        bench.forge()
    assert isinstance(bench.events[-1], RunFailed)


def test_a_damaged_value_costs_one_failure_and_is_made_anew(bench: Bench) -> None:
    record, _ = bench.forge()
    digest = record.slots["low_poly"]
    path = bench.store.root / "values" / digest[:2] / digest
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(ForgeError, match="made anew"):
        bench.forge("bake_ao.level=8")
    assert bench.ran("bake_ao.level=8") == ["decimate", "bake_ao"]


def test_a_retried_stage_is_told(bench: Bench) -> None:
    class Shaky:
        def execute(self, task: Task, run: Run) -> Outcome:
            done = inner.execute(task, run)
            return Outcome(result=done.result, seconds=done.seconds, retries=int(task.stage.name == "place"))

    inner = InlineExecutor(bench.store)
    bench.runner = Runner(bench.store, Shaky())  # type: ignore[arg-type]
    record, _ = bench.forge()
    assert [(told.stage, told.notice.code) for told in record.fallbacks] == [
        ("matte", "toy"),
        ("place", "stage_retried"),
    ]
    assert "once" in record.fallbacks[1].notice.message


def test_a_cached_run_reads_no_value(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.forge()
    monkeypatch.setattr(Store, "get", lambda *_, **__: pytest.fail("a value was read"))
    assert bench.ran() == []
