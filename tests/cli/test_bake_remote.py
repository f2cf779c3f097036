"""``forge bake --server``: the same files as on this machine, made by a job; and what becomes of one that fails."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from open3dforge.v1 import jobs_pb2

from bridge_server.backends.rasterizer.base import RASTERIZERS
from bridge_server.cli import bake_remote
from bridge_server.cli.client import ForgeClient
from bridge_server.cli.connection import connected
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.service.server import start_server
from bridge_server.settings import load_settings
from tests.cli.test_bake import write_obj
from tests.shapes import sphere
from tests.stages.test_own_uvs import glb
from tests.unwrapped_shapes import unwrapped_ball

TIMES = ("seconds", "trace_seconds")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = load_settings(environment={}, data=tmp_path_factory.mktemp("data"), port=0, executor="inline")
    running = start_server(settings)
    yield running.address
    running.stop(grace_s=1.0)


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The high poly refers to a material library, which has to be sent along."""
    folder = tmp_path_factory.mktemp("meshes")
    high = write_obj(folder / "ball.obj", sphere(0.5, 3))
    high.write_text("mtllib ball.mtl\nusemtl gold\n" + high.read_text().replace(" 0.5 0.25 1\n", "\n"))
    (folder / "ball.mtl").write_text("newmtl gold\nKd 1 0 0\n")
    low = folder / "ball_low.glb"
    low.write_bytes(glb(unwrapped_ball()).data)
    return str(high), str(low)


def bake(meshes: tuple[str, str], out: Path, *options: str) -> int:
    return run(["bake", *meshes, "--size", "64", "--samples", "4", "--out", str(out), *options])


def without_times(report: dict[str, object]) -> dict[str, object]:
    maps = [{key: entry[key] for key in entry if key not in TIMES} for entry in report["maps"]]  # type: ignore[attr-defined]
    return {**{key: report[key] for key in report if key not in TIMES}, "maps": maps}


def test_a_server_makes_the_files_that_this_machine_makes(
    address: str, meshes: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--maps", "normal,base_color,orm,curvature", "--green", "gl", "--bits", "16", "--dither")
    options = (*options, "--rasterizer", "numpy")
    assert bake(meshes, tmp_path / "here", *options) == ExitCode.OK
    assert bake(meshes, tmp_path / "there", *options, "--server", address) == ExitCode.OK
    here, there = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("here", "there"))
    reports = [without_times(json.loads(files.pop("bake.json"))) for files in (here, there)]
    assert reports[0] == reports[1]
    assert here.keys() == there.keys()
    assert here == there
    assert "T_BallLow_ORM.png" in here
    seen = capsys.readouterr()
    assert "Written to" in seen.out
    assert "bake_maps done" in seen.err


def test_new_coordinates_come_back_with_the_maps_and_json_tells_everything(
    address: str, meshes: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = write_obj(tmp_path / "bare.obj", sphere(0.5, 2))
    options = ("--maps", "object_normal", "--unwrap", "--server", address, "--json")
    assert bake((meshes[0], str(bare)), tmp_path / "out", *options) == ExitCode.OK
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bake.json", "SM_Bare.glb", "T_Bare_NO.png"}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all("event" in line for line in lines[:-1])
    assert lines[-1] == {**json.loads((tmp_path / "out" / "bake.json").read_text()), "out": str(tmp_path / "out")}


@pytest.mark.parametrize("there", [False, True])
def test_a_backend_that_is_not_there_is_told_with_its_remedy(
    there: bool, address: str, meshes: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server refuses when the job is created; here nothing is read before."""
    if RASTERIZERS.availability("nvdiffrast").available:
        pytest.skip("nvdiffrast is here")
    options = ("--rasterizer", "nvdiffrast", *(("--server", address) if there else ()))
    assert bake(meshes, tmp_path / "out", *options) in {ExitCode.FAILED, ExitCode.REFUSED}
    told = capsys.readouterr().err
    assert "nvdiffrast" in told
    assert "non-commercial" in told
    assert not list(tmp_path.rglob("*.png"))


def test_what_cannot_be_baked_is_told_and_leaves_nothing(
    address: str, meshes: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = write_obj(tmp_path / "bare.obj", sphere(0.5, 2))
    assert bake((meshes[0], str(bare)), tmp_path / "out", "--server", address) == ExitCode.FAILED
    assert "has no texture coordinates" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
    assert bake(("missing.glb", meshes[1]), tmp_path / "out", "--server", address) == ExitCode.USAGE
    assert bake(meshes, tmp_path / "out", "--maps", "height", "--server", address) == ExitCode.USAGE


def test_a_server_refuses_wrong_bakes_before_it_queues_them(address: str, meshes: tuple[str, str]) -> None:
    from bridge_server.cli.submission import upload_mesh
    from bridge_server.errors import ForgeError

    with connected(address, "", None) as client:
        mesh = upload_mesh(client, Path(meshes[0]), lambda *_: None)
        low = jobs_pb2.BakeInput(low=upload_mesh(client, Path(meshes[1]), lambda *_: None))
        wrong = jobs_pb2.SettingOverride(setting="bake_maps.maps", value="height")
        for spec, told in (
            (jobs_pb2.JobSpec(bake=low), "one of the two"),
            (jobs_pb2.JobSpec(mesh=mesh, bake=low, preset="prop_UE5_standard"), "no preset"),
            (jobs_pb2.JobSpec(mesh=mesh, bake=low, overrides=[wrong]), "no such map"),
            (jobs_pb2.JobSpec(mesh=mesh, bake=jobs_pb2.BakeInput()), "uploads/id"),
        ):
            with pytest.raises(ForgeError) as refused:
                client.create_job("", spec)
            assert told in refused.value.message


def test_a_bake_is_a_job_like_any_other(address: str, meshes: tuple[str, str], tmp_path: Path) -> None:
    assert bake(meshes, tmp_path / "out", "--maps", "source", "--name", "Listed", "--server", address) == ExitCode.OK
    with connected(address, "", None) as client:
        job = next(job for job in client.list_jobs([], 20) if job.asset_name == "Listed")
    assert (job.preset, job.asset_type) == ("bake", jobs_pb2.ASSET_TYPE_UNSPECIFIED)
    assert [stage.stage for stage in job.stages] == ["load_mesh", "load_low", "bake_maps"]
    assert job.spec.bake.low.upload != job.spec.mesh.upload
    assert not job.spec.preset
    assert [companion.path for companion in job.spec.mesh.companions] == ["ball.mtl"]
    assert run(["download", job.name.removeprefix("jobs/"), "--server", address, "--out", str(tmp_path)]) == ExitCode.OK
    assert {path.name for path in (tmp_path / "export_Listed_Maps").iterdir()} == {"bake.json", "T_Listed_SRC.png"}
    assert (tmp_path / "export_Listed_Maps.zip").is_file()


def test_a_bake_that_is_cancelled_ends_so(
    address: str, meshes: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = bake_remote.follow

    def cancelled_soon(client: ForgeClient, name: str, view: object) -> jobs_pb2.Job:
        threading.Timer(0.2, lambda: client.cancel_job(name)).start()
        return follow(client, name, view)  # type: ignore[arg-type]

    monkeypatch.setattr(bake_remote, "follow", cancelled_soon)
    options = ("--maps", "thickness", "--samples", "4096", "--size", "256", "--server", address)
    assert bake(meshes, tmp_path / "out", *options) == ExitCode.CANCELLED
    assert not list((tmp_path / "out").iterdir())
