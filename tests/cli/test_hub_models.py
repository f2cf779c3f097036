"""Models of whole repositories: shown before they are fetched, resumed, verified, refused, brought by hand."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.backends import hub_weights
from bridge_server.backends.hub_weights import TRELLIS2
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from tests.cli.fake_hub import REVISION, FakeHub, serving

Output = pytest.CaptureFixture[str]
LARGE = 300_000
ENCODER = TRELLIS2.parts[2].repository


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with every file of the catalogue, made up, and an empty data folder."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    for rank, name in enumerate(TRELLIS2.files):
        path = tmp_path / "hub" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([rank]) * LARGE if path.suffix == ".safetensors" else b'{"rank": %d}' % rank)
    monkeypatch.setenv("OPEN3DFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving(tmp_path / "hub") as found:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", found.url)
        monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
        template = f"{found.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        if hasattr(huggingface_hub.file_download, "HUGGINGFACE_CO_URL_TEMPLATE"):
            monkeypatch.setattr(huggingface_hub.file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield found


def pulled() -> set[str]:
    return {name for name in TRELLIS2.files if (TRELLIS2.folder / name).is_file()}


def transfers(hub: FakeHub) -> list[str]:
    return [request for request in hub.requests if request.startswith("GET") and "/resolve/" in request]


def test_the_catalogue_names_every_part_with_its_licence() -> None:
    assert [part.repository.partition("/")[0] for part in TRELLIS2.parts] == ["microsoft", "microsoft", "facebook"]
    assert all(part.licence and part.nominal_bytes > 10**8 for part in TRELLIS2.parts)
    assert len(TRELLIS2.files) == 1 + 2 * 8 + 2
    assert [part.gated for part in TRELLIS2.parts] == [False, False, True]


def test_pull_shows_licence_and_size_and_brings_everything(hub: FakeHub, capsys: Output) -> None:
    assert run(["models", "pull", "trellis2", "--yes"]) == ExitCode.OK
    said = capsys.readouterr().err
    for part in TRELLIS2.parts:
        assert part.page in said
        assert part.licence in said
    assert "gated" in said
    assert said.index("to fetch: 0.00 GB") < said.index("pipeline.json (")
    assert pulled() == set(TRELLIS2.files)
    record = json.loads((TRELLIS2.folder / "pulled.json").read_text())
    assert set(record["files"]) == set(TRELLIS2.files)
    assert {entry["revision"] for entry in record["files"].values()} == {REVISION}
    before = len(transfers(hub))
    assert run(["models", "pull", "trellis2"]) == ExitCode.OK, "nothing to fetch, nothing to ask"
    assert len(transfers(hub)) == before


def test_nothing_is_fetched_unasked(hub: FakeHub, capsys: Output) -> None:
    assert run(["models", "pull", "trellis2"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "licence: MIT" in said
    assert "./forge models pull trellis2 --yes" in said
    assert not transfers(hub)
    assert not pulled()


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", ExitCode.OK), ("\n", ExitCode.CANCELLED), ("n\n", ExitCode.CANCELLED)]
)
def test_a_person_is_asked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, answer: str, code: ExitCode) -> None:
    typed = io.StringIO(answer)
    monkeypatch.setattr(typed, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", typed)
    assert run(["models", "pull", "trellis2"]) == code
    assert bool(pulled()) == (code == ExitCode.OK)


def test_a_broken_transfer_goes_on_where_it_stopped(hub: FakeHub) -> None:
    hub.breaks_after = 200_000
    assert run(["models", "pull", "trellis2", "--yes"]) == ExitCode.OK
    assert any("bytes=200000-" in request for request in transfers(hub)), hub.requests
    assert run(["models", "verify", "trellis2"]) == ExitCode.OK


def test_an_interrupted_pull_goes_on_where_it_stopped(hub: FakeHub, capsys: Output) -> None:
    hub.lies = True
    assert run(["models", "pull", "trellis2", "--yes"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "arrived with another size or digest" in said
    hub.lies = False
    target = TRELLIS2.folder / "microsoft/TRELLIS.2-4B/ckpts/ss_flow_img_dit_1_3B_64_bf16.safetensors"
    content = (hub.root / target.relative_to(TRELLIS2.folder)).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    target.with_name(f"{target.name}.{digest[:12]}.partial").write_bytes(content[:123_456])
    assert run(["models", "pull", "trellis2", "--yes"]) == ExitCode.OK
    assert any("bytes=123456-" in request for request in transfers(hub)), hub.requests
    assert pulled() == set(TRELLIS2.files)
    assert not list(TRELLIS2.folder.rglob("*.partial"))


@pytest.mark.parametrize("hidden", [False, True], ids=["described", "hidden"])
def test_the_gated_part_is_explained_and_the_rest_comes(hub: FakeHub, capsys: Output, hidden: bool) -> None:
    hub.gated.add(ENCODER)
    hub.hidden = hidden
    assert run(["models", "pull", "trellis2", "--yes"]) == ExitCode.REFUSED
    said = capsys.readouterr().err
    assert f"https://huggingface.co/{ENCODER} hands its files only to accounts that accepted its licence" in said
    assert "hf auth login" in said
    assert "--from FOLDER" in said
    assert pulled() == {name for name in TRELLIS2.files if not name.startswith(ENCODER)}
    hub.gated.clear()
    before = len(transfers(hub))
    assert run(["models", "pull", "trellis2", "--yes"]) == ExitCode.OK
    assert len(transfers(hub)) == before + 2


def test_the_gated_part_comes_by_hand(hub: FakeHub, tmp_path: Path, capsys: Output) -> None:
    hub.gated.add(ENCODER)
    run(["models", "pull", "trellis2", "--yes"])
    by_hand = Path(shutil.copytree(tmp_path / "hub" / ENCODER, tmp_path / "downloads"))
    assert run(["models", "pull", "trellis2", "--from", str(by_hand)]) == ExitCode.OK
    assert pulled() == set(TRELLIS2.files)
    capsys.readouterr()
    assert run(["models", "verify", "trellis2"]) == ExitCode.OK
    assert f"  {ENCODER}/model.safetensors: present" in capsys.readouterr().out
    hub.hidden = True
    assert run(["models", "pull", "trellis2"]) == ExitCode.OK, "what came by hand is not asked for again"
    (tmp_path / "empty").mkdir()
    assert run(["models", "pull", "trellis2", "--from", str(tmp_path / "empty")]) == ExitCode.USAGE
    assert "holds none of the files" in capsys.readouterr().err


def test_verify_reads_every_file(hub: FakeHub, capsys: Output) -> None:
    run(["models", "pull", "trellis2", "--yes"])
    spoilt = TRELLIS2.folder / "microsoft/TRELLIS.2-4B/ckpts/tex_dec_next_dc_f16c32_fp16.safetensors"
    content = bytearray(spoilt.read_bytes())
    content[1000] ^= 1
    spoilt.write_bytes(content)
    capsys.readouterr()
    assert run(["models", "verify", "trellis2", "--json"]) == ExitCode.FAILED
    (document,) = json.loads(capsys.readouterr().out)["models"]
    wrong = [name for name, state in document["files"].items() if state == "wrong"]
    assert wrong == [spoilt.relative_to(TRELLIS2.folder).as_posix()]


def test_list_and_path(hub: FakeHub, capsys: Output) -> None:
    assert run(["models", "list", "--json"]) == ExitCode.OK
    documents = {each["name"]: each for each in json.loads(capsys.readouterr().out)["models"]}
    assert documents["trellis2"]["state"] == "missing"
    assert documents["trellis2"]["size_bytes"] == sum(part.nominal_bytes for part in TRELLIS2.parts)
    assert run(["models", "path", "trellis2"]) == ExitCode.OK
    assert capsys.readouterr().out.strip() == str(TRELLIS2.folder)
    assert run(["models", "path", "u2netp"]) == ExitCode.OK
    assert capsys.readouterr().out.strip().endswith("u2netp.onnx")
    assert run(["models", "path", "no-such"]) == ExitCode.USAGE


def test_a_hub_out_of_reach_is_told(hub: FakeHub, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert run(["models", "pull", "trellis2", "--yes"]) == ExitCode.UNREACHABLE
    assert "https://huggingface.co/microsoft/TRELLIS.2-4B" in capsys.readouterr().err


def test_a_quick_digest_tells_contents_apart(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(1_000_000))
    first = hub_weights.quick_digest([path])
    assert first == hub_weights.quick_digest([path])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert hub_weights.quick_digest([path]) != first
