"""What every executor promises, held against each of them."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge_server.errors import Cancelled, ForgeError, InputError, StageFailed, StoreError
from bridge_server.executors.inline import InlineExecutor
from bridge_server.executors.processes import ProcessExecutor
from bridge_server.pipeline.executor import Executor, Task
from bridge_server.pipeline.plan import ChosenBackend
from bridge_server.pipeline.store import Store
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.values.base import Notice
from bridge_server.values.image import Cutouts
from bridge_server.values.mesh import HighPoly, LowPoly
from bridge_server.values.texture import AoMap
from tests.pipeline.toy import ToyBakeAo, ToyGenerate, ToyMatte, generators, toy_photos
from tests.shapes import box

EXECUTORS: dict[str, Callable[[Store], Executor]] = {"inline": InlineExecutor, "processes": ProcessExecutor}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request: pytest.FixtureRequest, store: Store) -> Iterator[Executor]:
    with EXECUTORS[request.param](store) as made:
        yield made


@pytest.fixture(scope="module")
def low_poly(store: Store) -> str:
    value = LowPoly(mesh=box(), target_triangle_count=12, hausdorff_m=0.0, mean_distance_m=0.0, method="toy")
    return store.put(value).digest


def bake(low_poly: str, **fields: object) -> Task:
    return Task(stage=ToyBakeAo(**fields), backends=(), inputs={"low_poly": low_poly})  # type: ignore[arg-type]


def test_a_task_leaves_its_value_in_the_store(executor: Executor, store: Store, low_poly: str) -> None:
    outcome = executor.execute(bake(low_poly, level=200), SilentRun())
    value = store.get(outcome.result.digest)
    assert isinstance(value, AoMap)
    assert (value.pixels == 200).all()
    assert outcome.retries == 0
    assert 0 <= outcome.seconds < 5


def test_notices_come_along(executor: Executor, store: Store) -> None:
    photos = store.put(toy_photos()).digest
    outcome = executor.execute(Task(stage=ToyMatte(), backends=(), inputs={"photos": photos}), SilentRun())
    assert outcome.result.notices == (Notice(code="toy", message="Everything was kept."),)


def test_backends_are_handed_over(executor: Executor, store: Store) -> None:
    cutouts = store.put(Cutouts(cutouts=(), method="toy")).digest
    widths = []
    for name in ("toy", "second"):
        chosen = ChosenBackend(kind=generators("toy", "second"), name=name, identity=name)
        outcome = executor.execute(
            Task(stage=ToyGenerate(), backends=(chosen,), inputs={"cutouts": cutouts}), SilentRun()
        )
        value = store.get(outcome.result.digest)
        assert isinstance(value, HighPoly)
        widths.append(float(np.ptp(value.mesh.positions_m[:, 0])))
    assert widths == [1.0, 3.0]


def test_big_arrays_pass(executor: Executor, store: Store, low_poly: str) -> None:
    outcome = executor.execute(bake(low_poly, size=8192, level=3), SilentRun())
    assert outcome.result.size_bytes > 8192 * 8192
    value = store.get(outcome.result.digest)
    assert isinstance(value, AoMap)
    assert value.pixels.shape == (8192, 8192)
    assert value.pixels[-1, -1] == 3


def test_an_error_keeps_its_class_and_fields(executor: Executor, low_poly: str) -> None:
    with pytest.raises(InputError) as caught:
        executor.execute(bake(low_poly, conduct="input error"), SilentRun())
    error = caught.value
    assert (error.message, error.subject, error.remedy, error.reason) == ("is bad.", "cup.png", "Mend it.", "VERY_BAD")


@pytest.mark.parametrize(
    ("conduct", "reason", "words"),
    [
        ("bug", "INTERNAL", r"ZeroDivisionError: one over nothing \(toy.py:\d+\)"),
        ("wrong type", "INTERNAL", "returned LowPoly, not AoMap"),
        ("out of memory", "OUT_OF_MEMORY", "memory ran out"),
    ],
)
def test_unplanned_errors_are_translated(
    executor: Executor, low_poly: str, conduct: str, reason: str, words: str
) -> None:
    with pytest.raises(StageFailed, match=words) as caught:
        executor.execute(bake(low_poly, conduct=conduct), SilentRun())
    assert (caught.value.reason, caught.value.subject) == (reason, "bake_ao")


def test_a_missing_input_is_a_store_error(executor: Executor) -> None:
    with pytest.raises(StoreError):
        executor.execute(bake("0" * 64), SilentRun())


def test_a_backend_that_cannot_be_made_is_an_error_of_the_stage(executor: Executor, store: Store) -> None:
    cutouts = store.put(Cutouts(cutouts=(), method="toy")).digest
    for name, kind in (("broken", StageFailed), ("refusing", ForgeError)):
        chosen = ChosenBackend(kind=generators("broken", "refusing"), name=name, identity=name)
        with pytest.raises(kind):
            executor.execute(Task(stage=ToyGenerate(), backends=(chosen,), inputs={"cutouts": cutouts}), SilentRun())


def test_progress_arrives_in_order_while_the_stage_runs(executor: Executor, low_poly: str) -> None:
    told: list[tuple[float, float, str]] = []
    run = CallbackRun(lambda fraction, note: told.append((time.monotonic(), fraction, note)))
    executor.execute(bake(low_poly, seconds=0.8), run)
    fractions = [fraction for _, fraction, _ in told]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) >= 4
    assert told[-1][0] - told[0][0] > 0.5
    assert any(note.startswith("step") for _, _, note in told)


def test_cancelling_stops_a_stage_and_the_next_one_runs(executor: Executor, low_poly: str) -> None:
    told: list[float] = []

    def stop(fraction: float, note: str) -> None:
        told.append(fraction)
        if len(told) > 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        executor.execute(bake(low_poly, seconds=3000.0), CallbackRun(stop))  # far longer than the test may take
    assert len(told) == 4
    assert executor.execute(bake(low_poly), SilentRun()).retries == 0


def test_failures_leave_the_executor_usable(executor: Executor, low_poly: str) -> None:
    for _ in range(3):
        with pytest.raises(InputError):
            executor.execute(bake(low_poly, conduct="input error"), SilentRun())
    assert executor.execute(bake(low_poly), SilentRun()).retries == 0


def test_noise_on_standard_output_does_no_harm(executor: Executor, low_poly: str, capfd: object) -> None:
    assert executor.execute(bake(low_poly, conduct="chatter"), SilentRun()).retries == 0


def test_several_threads_may_execute_at_once(executor: Executor, store: Store, low_poly: str) -> None:
    digests: list[str] = []

    def work(level: int) -> None:
        digests.append(executor.execute(bake(low_poly, level=level), SilentRun()).result.digest)

    threads = [threading.Thread(target=work, args=(level,)) for level in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    levels = sorted(int(value.pixels[0, 0]) for value in map(store.get, digests) if isinstance(value, AoMap))
    assert levels == [0, 1, 2, 3]


def test_stages_see_the_process_they_should(executor: Executor, low_poly: str, tmp_path: Path) -> None:
    executor.execute(bake(low_poly, folder=str(tmp_path)), SilentRun())
    own = int((tmp_path / "call-1").read_text()) == os.getpid()
    assert own == isinstance(executor, InlineExecutor)
