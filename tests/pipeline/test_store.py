import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bridge_server.errors import DiskFull, StoreError
from bridge_server.pipeline.store import Store, StoredResult
from bridge_server.values.base import Notice
from bridge_server.values.texture import AoMap

KEY = "ab" * 32
OTHER_KEY = "cd" * 32


def ao(level: int, size: int = 64, notices: tuple[Notice, ...] = ()) -> AoMap:
    return AoMap(pixels=np.full((size, size), level, np.uint8), notices=notices)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def files(store: Store) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def age(store: Store, digest: str, seconds: float) -> None:
    path = store.root / "values" / digest[:2] / digest
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_value_comes_back_and_is_filed_by_its_content(store: Store) -> None:
    first, second = store.put(ao(3)), store.put(ao(3))
    assert first == second
    assert len(files(store)) == 1
    assert store.put(ao(4)).digest != first.digest
    value = store.get(first.digest, verify=True)
    assert isinstance(value, AoMap)
    assert (value.pixels == 3).all()
    assert not value.pixels.flags.writeable
    assert store.size_bytes() == 2 * first.size_bytes


def test_a_result_keeps_its_notices(store: Store) -> None:
    result = store.put(ao(3, notices=(Notice(code="a", message="b"),)))
    assert store.result(KEY) is None
    store.record(KEY, result)
    assert store.result(KEY) == result
    assert store.result(OTHER_KEY) is None


def test_a_result_without_its_value_counts_for_nothing(store: Store) -> None:
    result = store.put(ao(3))
    store.record(KEY, result)
    path = store.root / "values" / result.digest[:2] / result.digest
    path.write_bytes(path.read_bytes()[:-1])
    assert store.result(KEY) is None
    path.unlink()
    assert store.result(KEY) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"schema": "open3dforge.result.v1"}'])
def test_a_damaged_result_counts_for_nothing(store: Store, damage: bytes) -> None:
    store.record(KEY, store.put(ao(3)))
    (store.root / "results" / KEY[:2] / f"{KEY}.json").write_bytes(damage)
    assert store.result(KEY) is None


def test_a_result_under_a_foreign_name_counts_for_nothing(store: Store) -> None:
    store.record(KEY, store.put(ao(3)))
    target = store.root / "results" / OTHER_KEY[:2] / f"{OTHER_KEY}.json"
    target.parent.mkdir(parents=True)
    target.write_bytes((store.root / "results" / KEY[:2] / f"{KEY}.json").read_bytes())
    assert store.result(OTHER_KEY) is None


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text"])
def test_a_damaged_value_is_refused_and_removed(store: Store, damage: str) -> None:
    digest = store.put(ao(3)).digest
    path = store.root / "values" / digest[:2] / digest
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes({"empty": b"", "cut": bytes(content[:90]), "flipped": bytes(content), "text": b"hello"}[damage])
    with pytest.raises(StoreError, match="made anew"):
        store.get(digest, verify=damage == "flipped")
    assert not path.exists()
    with pytest.raises(StoreError, match="cannot be read"):
        store.get(digest)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "g" * 64, "A" * 64, "ab"])
def test_only_digests_name_values(store: Store, digest: str) -> None:
    with pytest.raises(StoreError):
        store.get(digest)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull) as caught:
        store.put(ao(3))
    assert caught.value.subject == str(store.root)
    with pytest.raises(DiskFull):
        store.record(KEY, StoredResult(digest=KEY, size_bytes=1))
    assert files(store) == []


def test_a_really_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A process that may write no file over 64 KiB stands for the disk (RLIMIT_FSIZE gives EFBIG)."""
    if sys.platform == "win32":
        pytest.skip("needs RLIMIT_FSIZE")
    script = f"""
import resource, signal
from pathlib import Path
import numpy as np
from bridge_server.errors import StoreError
from bridge_server.pipeline.store import Store
from bridge_server.values.texture import AoMap
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
store = Store(Path({str(tmp_path)!r}))
try:
    store.put(AoMap(pixels=np.zeros((1024, 1024), np.uint8)))
except StoreError as error:
    print("refused", [path for path in Path({str(tmp_path)!r}).rglob("*") if path.is_file()])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "refused []"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "file").put(ao(1))
    assert str(tmp_path / "file") in str(caught.value)


def test_pruning_takes_the_longest_unused_first(store: Store) -> None:
    results = [store.put(ao(level)) for level in range(5)]
    for position, result in enumerate(results):
        age(store, result.digest, 10_000 - 1000 * position)
    store.record(KEY, results[1])
    store.record(OTHER_KEY, results[4])
    age(store, results[1].digest, 9_000)
    size = results[0].size_bytes
    assert store.prune(2 * size, pinned={results[0].digest}) == 3 * size
    left = {path.name for path in (store.root / "values").rglob("*") if path.is_file()}
    assert left == {results[0].digest, results[4].digest}
    assert store.result(KEY) is None
    assert [path.stem for path in (store.root / "results").glob("*/*")] == [OTHER_KEY]


def test_pruning_spares_what_was_just_used(store: Store) -> None:
    old, used = store.put(ao(1)), store.put(ao(2))
    store.record(KEY, used)
    for result in (old, used):
        age(store, result.digest, 5000)
    assert store.result(KEY) == used  # marks it as used
    assert store.prune(0) == old.size_bytes
    assert store.result(KEY) == used
    assert store.prune(0, recent_s=0.0) == used.size_bytes
    assert store.size_bytes() == 0


def test_pruning_does_not_count_as_use(store: Store) -> None:
    result = store.put(ao(1))
    store.record(KEY, result)
    age(store, result.digest, 5000)
    assert store.prune(10**9) == 0
    assert store.prune(0) == result.size_bytes


def test_pruning_sweeps_what_crashed_writers_left(store: Store) -> None:
    result = store.put(ao(1))
    folder = store.root / "values" / result.digest[:2]
    fresh, stale = folder / "x.partial", folder / "y.partial"
    for path in (fresh, stale):
        path.write_bytes(b"123")
    os.utime(stale, (0, 0))
    assert store.size_bytes() == result.size_bytes
    store.prune(10**9)
    assert fresh.exists()
    assert not stale.exists()


def test_a_mapped_value_outlives_its_file(store: Store) -> None:
    digest = store.put(ao(5)).digest
    value = store.get(digest)
    store.prune(0, recent_s=0.0)
    assert isinstance(value, AoMap)
    assert (value.pixels == 5).all()


def test_processes_may_write_at_once(store: Store) -> None:
    script = f"""
import sys
from pathlib import Path
import numpy as np
from bridge_server.pipeline.store import Store
from bridge_server.values.texture import AoMap
store = Store(Path({str(store.root)!r}))
for level in range(40):
    result = store.put(AoMap(pixels=np.full((256, 256), level, np.uint8)))
    store.record("%064x" % level, result)
    assert (store.get(result.digest, verify=True).pixels == level).all()
"""
    writers = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [writer.wait(30) for writer in writers] == [0, 0]
    assert len(list((store.root / "values").glob("*/*"))) == 40
    assert all(store.result(f"{level:064x}") for level in range(40))
