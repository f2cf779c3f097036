"""What only worker processes can do: survive crashes, stop the deaf, be replaced, and never be left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge_server.errors import Cancelled, StageFailed, WorkerDied
from bridge_server.executors.memory import held_bytes
from bridge_server.executors.processes import ProcessExecutor
from bridge_server.pipeline.executor import Task
from bridge_server.pipeline.store import Store
from bridge_server.run import CallbackRun, Run, SilentRun
from bridge_server.values.mesh import LowPoly
from tests.pipeline.toy import ToyBakeAo
from tests.shapes import box

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux stops native code that never looks up"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def executor(store: Store) -> Iterator[ProcessExecutor]:
    with ProcessExecutor(store, grace_s=0.3) as made:
        yield made


def bake(store: Store, **fields: object) -> Task:
    value = LowPoly(mesh=box(), target_triangle_count=12, hausdorff_m=0.0, mean_distance_m=0.0, method="toy")
    return Task(stage=ToyBakeAo(**fields), backends=(), inputs={"low_poly": store.put(value).digest})  # type: ignore[arg-type]


def pids(traces: Path) -> list[int]:
    return [int(path.read_text()) for path in sorted(traces.glob("call-*"))]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def cancelled_when(condition: Callable[[], bool]) -> Run:
    def stop(fraction: float, note: str) -> None:
        if condition():
            raise Cancelled

    return CallbackRun(stop)


def test_workers_stay_warm(executor: ProcessExecutor, store: Store, traces: Path) -> None:
    for _ in range(3):
        executor.execute(bake(store, folder=str(traces)), SilentRun())
    assert len(set(pids(traces))) == 1


@pytest.mark.parametrize("conduct", ["hang", pytest.param("hold the lock", marks=posix)])
def test_a_deaf_stage_is_killed_after_the_grace_period(
    executor: ProcessExecutor, store: Store, traces: Path, conduct: str
) -> None:
    cancelled_s: list[float] = []

    def begun() -> bool:
        cancelled_s.extend([time.monotonic()] if pids(traces) else [])
        return bool(cancelled_s)

    with pytest.raises(Cancelled):
        executor.execute(bake(store, conduct=conduct, seconds=60.0, folder=str(traces)), cancelled_when(begun))
    assert 0.3 < time.monotonic() - cancelled_s[0] < 1.5
    assert not is_running(pids(traces)[0])
    assert executor.execute(bake(store, folder=str(traces)), SilentRun()).retries == 0


@pytest.mark.parametrize("conduct", ["exit once", pytest.param("sigkill once", marks=posix)])
def test_a_crash_costs_one_retry(executor: ProcessExecutor, store: Store, traces: Path, conduct: str) -> None:
    outcome = executor.execute(bake(store, conduct=conduct, folder=str(traces)), SilentRun())
    assert outcome.retries == 1
    first, second = pids(traces)
    assert first != second
    assert executor.execute(bake(store, folder=str(traces)), SilentRun()).retries == 0


@pytest.mark.parametrize(
    ("conduct", "words"), [("exit", "exit status 3"), pytest.param("segfault", "signal SIGSEGV: Fatal", marks=posix)]
)
def test_crashing_again_and_again_is_an_error(
    executor: ProcessExecutor, store: Store, traces: Path, conduct: str, words: str
) -> None:
    with pytest.raises(WorkerDied, match=f"died 2 times .*{words}") as caught:
        executor.execute(bake(store, conduct=conduct, folder=str(traces)), SilentRun())
    assert caught.value.subject == "bake_ao"
    assert len(pids(traces)) == 2
    assert executor.execute(bake(store), SilentRun()).retries == 0


def test_retries_can_be_refused(store: Store, traces: Path) -> None:
    with ProcessExecutor(store, retries=0) as executor, pytest.raises(WorkerDied, match="died once"):
        executor.execute(bake(store, conduct="exit", folder=str(traces)), SilentRun())
    assert len(pids(traces)) == 1


@posix
def test_a_worker_killed_from_outside_costs_one_retry(executor: ProcessExecutor, store: Store, traces: Path) -> None:
    def shoot() -> None:
        until(lambda: len(pids(traces)) == 1)
        os.kill(pids(traces)[0], signal.SIGKILL)

    killer = threading.Thread(target=shoot)
    killer.start()
    outcome = executor.execute(bake(store, seconds=0.5, folder=str(traces)), SilentRun())
    killer.join()
    assert outcome.retries == 1


@posix
def test_a_worker_killed_while_idle_is_replaced(executor: ProcessExecutor, store: Store, traces: Path) -> None:
    executor.execute(bake(store, folder=str(traces)), SilentRun())
    os.kill(pids(traces)[0], signal.SIGKILL)
    assert until(lambda: not is_running(pids(traces)[0]))
    assert executor.execute(bake(store, folder=str(traces)), SilentRun()).retries in (0, 1)
    assert len(set(pids(traces))) == 2


def test_a_stage_past_its_time_is_stopped(store: Store, traces: Path) -> None:
    with ProcessExecutor(store, time_limit_s=0.8, grace_s=0.2) as executor:
        with pytest.raises(StageFailed, match="took longer than 1 s") as caught:
            executor.execute(bake(store, conduct="hang", seconds=60.0, folder=str(traces)), SilentRun())
        assert caught.value.reason == "TIME_LIMIT"
        assert not isinstance(caught.value, WorkerDied)
    assert len(pids(traces)) == 1


def test_a_worker_that_holds_too_much_is_replaced(store: Store, traces: Path) -> None:
    with ProcessExecutor(store, memory_limit_bytes=1) as executor:
        for _ in range(2):
            executor.execute(bake(store, folder=str(traces)), SilentRun())
    first, second = pids(traces)
    assert first != second
    assert not is_running(first)


def test_held_memory_is_about_right() -> None:
    before = held_bytes()
    block = bytearray(os.urandom(64 << 20))
    grown = held_bytes() - before
    assert len(block) == 64 << 20
    assert 48 << 20 < grown < 160 << 20


def test_two_workers_run_two_stages_at_once(store: Store, traces: Path) -> None:
    with ProcessExecutor(store, workers=2) as executor:
        tasks = [bake(store, seconds=0.8, folder=str(traces), level=level) for level in range(3)]
        threads = [threading.Thread(target=executor.execute, args=(task, SilentRun())) for task in tasks]
        for thread in threads:
            thread.start()
        assert until(lambda: len(pids(traces)) >= 2)
        for thread in threads:
            thread.join(20)
    assert len(set(pids(traces))) == 2


def test_waiting_for_a_worker_can_be_cancelled(executor: ProcessExecutor, store: Store, traces: Path) -> None:
    ended, enough = threading.Event(), threading.Event()

    def occupy() -> None:
        with pytest.raises(Cancelled):
            executor.execute(bake(store, seconds=60.0, folder=str(traces)), cancelled_when(enough.is_set))
        ended.set()

    busy = threading.Thread(target=occupy)
    busy.start()
    assert until(lambda: len(pids(traces)) == 1)
    with pytest.raises(Cancelled):
        executor.execute(bake(store, folder=str(traces)), cancelled_when(lambda: True))
    assert not ended.is_set()
    assert len(pids(traces)) == 1
    enough.set()
    busy.join(20)
    assert ended.is_set()


def test_closing_ends_what_runs(store: Store, traces: Path) -> None:
    executor = ProcessExecutor(store)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            executor.execute(bake(store, seconds=60.0, folder=str(traces)), SilentRun())
        except WorkerDied as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert until(lambda: len(pids(traces)) == 1)
    executor.close()
    thread.join(5)
    assert len(errors) == 1
    assert not is_running(pids(traces)[0])
    with pytest.raises(WorkerDied, match="shutting down"):
        executor.execute(bake(store), SilentRun())


def test_a_killed_worker_takes_its_isolated_child_with_it(store: Store, traces: Path) -> None:
    with ProcessExecutor(store, grace_s=0.2) as executor:
        task = bake(store, conduct="spawn", folder=str(traces))
        with pytest.raises(Cancelled):
            executor.execute(task, cancelled_when((traces / "child").exists))
    child = int((traces / "child").read_text())
    assert until(lambda: not is_running(child))


@posix
def test_an_isolated_child_dies_with_a_worker_that_was_shot(store: Store, traces: Path) -> None:
    with ProcessExecutor(store, retries=0) as executor:

        def shoot() -> None:
            until((traces / "child").exists)
            os.kill(pids(traces)[0], signal.SIGKILL)

        killer = threading.Thread(target=shoot)
        killer.start()
        with pytest.raises(WorkerDied, match="SIGKILL"):
            executor.execute(bake(store, conduct="spawn", folder=str(traces)), SilentRun())
        killer.join()
    child = int((traces / "child").read_text())
    assert until(lambda: not is_running(child))


SERVER = """
import sys
from pathlib import Path
from bridge_server.executors.processes import ProcessExecutor
from bridge_server.pipeline.store import Store
from bridge_server.run import SilentRun
from tests.executors.test_processes import bake
store = Store(Path(sys.argv[1]))
ProcessExecutor(store).execute(bake(store, conduct=sys.argv[3], seconds=60.0, folder=sys.argv[2]), SilentRun())
"""


@posix
@pytest.mark.parametrize("conduct", ["", pytest.param("hold the lock", marks=linux), "spawn"])
def test_workers_die_with_a_server_that_was_shot(store: Store, traces: Path, conduct: str) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(store.root), str(traces), conduct])
    wanted = traces / ("child" if conduct == "spawn" else "call-1")
    assert until(wanted.exists, 15.0)
    time.sleep(0.1)
    server.kill()
    server.wait()
    assert until(lambda: not any(is_running(pid) for pid in pids(traces)))
    if conduct == "spawn":
        assert until(lambda: not is_running(int(wanted.read_text())))
