"""``forge bake`` end to end on small meshes, and what it refuses."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.stages.bake_images import SUFFIXES, MapName
from bridge_server.stages.png_writer import png_size
from bridge_server.values.mesh import Mesh
from tests.shapes import sphere
from tests.stages.test_own_uvs import glb
from tests.unwrapped_shapes import unwrapped_ball


def write_obj(path: Path, mesh: Mesh) -> Path:
    lines = [f"v {x} {y} {z} 0.5 0.25 1" for x, y, z in mesh.positions_m.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("meshes")
    high = write_obj(folder / "ball high.obj", sphere(0.5, 4))
    low = folder / "ball_low.glb"
    low.write_bytes(glb(unwrapped_ball()).data)
    return str(high), str(low)


def bake(meshes: tuple[str, str], out: Path, *options: str) -> int:
    return run(["bake", *meshes, "--size", "64", "--out", str(out), *options])


def test_every_map_is_written_with_its_figures(
    meshes: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bake(meshes, tmp_path, "--maps", "all", "--samples", "4", "--json") == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    report = json.loads((tmp_path / "bake.json").read_text())
    assert shown == {**report, "out": str(tmp_path.resolve())}
    assert report["schema"] == "open3dforge.bake.v1"
    assert {entry["map"] for entry in report["maps"]} == {name.value for name in MapName}
    assert {path.name for path in tmp_path.iterdir()} == {
        "bake.json",
        *(f"T_BallLow_{suffix}.png" for suffix in SUFFIXES.values()),
    }
    for entry in report["maps"]:
        data = (tmp_path / entry["path"]).read_bytes()
        assert png_size(data) == (64, 64, entry["bits"], entry["channels"])
    assert report["share_by_ray"] > 0.99
    assert 0 < report["cage_m"] < 0.05
    assert report["cage_measured"] is True
    assert report["low"]["uvs"] == "own"
    color = np.asarray(Image.open(tmp_path / "T_BallLow_BC.png"))
    assert np.abs(color.astype(int) - [128, 64, 255]).max() <= 1
    curvature = next(entry for entry in report["maps"] if entry["map"] == "curvature")
    assert curvature["white_per_m"] == pytest.approx(2.0, rel=0.05)


def test_green_bits_cage_and_name_are_obeyed(meshes: tuple[str, str], tmp_path: Path) -> None:
    for green in ("gl", "dx"):
        options = ("--maps", "normal", "--green", green, "--cage", "0.05", "--name", green.upper())
        assert bake(meshes, tmp_path / green, *options) == ExitCode.OK
    assert bake(meshes, tmp_path / "deep", "--maps", "normal", "--bits", "16", "--name", "Deep") == ExitCode.OK
    assert png_size((tmp_path / "deep" / "T_Deep_N.png").read_bytes()) == (64, 64, 16, 3)
    gl, dx = (np.asarray(Image.open(tmp_path / g / f"T_{g.upper()}_N.png")).astype(int) for g in ("gl", "dx"))
    assert np.abs(gl[:, :, 1] + dx[:, :, 1] - 255).max() <= 1
    assert (gl[:, :, [0, 2]] == dx[:, :, [0, 2]]).all()
    report = json.loads((tmp_path / "gl" / "bake.json").read_text())
    assert report["cage_m"] == 0.05
    assert report["cage_measured"] is False
    assert report["maps"][0]["green"] == "gl"


def test_unwrap_brings_the_low_poly_with_its_new_coordinates(meshes: tuple[str, str], tmp_path: Path) -> None:
    bare = write_obj(tmp_path / "bare.obj", sphere(0.5, 2))
    assert bake((meshes[0], str(bare)), tmp_path / "out", "--maps", "object_normal") == ExitCode.USAGE
    assert not list((tmp_path / "out").iterdir())
    assert bake((meshes[0], str(bare)), tmp_path / "out", "--maps", "object_normal", "--unwrap") == ExitCode.OK
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bake.json", "SM_Bare.glb", "T_Bare_NO.png"}
    again = (meshes[0], str(tmp_path / "out" / "SM_Bare.glb"))
    assert bake(again, tmp_path / "again", "--maps", "object_normal") == ExitCode.OK
    first, second = (
        np.asarray(Image.open(tmp_path / folder / "T_Bare_NO.png")).astype(int) for folder in ("out", "again")
    )
    assert np.abs(first - second).mean() < 0.5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--maps", "normal,height"), "--maps height"),
        (("--maps", ","), "names no map"),
        (("--name", "a b"), "asset name"),
        (("--size", "20"), "--size"),
        (("--green", "up"), "--green"),
    ],
)
def test_wrong_options_are_told(
    meshes: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    assert bake(meshes, tmp_path, *options) == ExitCode.USAGE
    assert told in capsys.readouterr().err


def test_files_that_cannot_be_used_are_told(
    meshes: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bake(("missing.glb", meshes[1]), tmp_path) == ExitCode.USAGE
    assert "missing.glb" in capsys.readouterr().err
    broken = tmp_path / "broken.glb"
    broken.write_bytes(b"glTF no more")
    assert bake((meshes[0], str(broken)), tmp_path) == ExitCode.USAGE
    assert "broken.glb" in capsys.readouterr().err
    file = tmp_path / "file"
    file.write_text("")
    assert bake(meshes, file) == ExitCode.USAGE
    assert "--out" in capsys.readouterr().err


def test_meshes_far_from_the_origin_are_refused_because_each_would_be_moved_by_itself(
    meshes: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ball = sphere(0.5, 2)
    far = Mesh(positions_m=ball.positions_m + np.float32([5e5, 0, 0]), faces=ball.faces)
    path = write_obj(tmp_path / "far.obj", far)
    for pair in ((str(path), meshes[1]), (meshes[0], str(path))):
        assert bake(pair, tmp_path / "out", "--unwrap", "--maps", "source") == ExitCode.USAGE
        assert "far.obj: it lies so far from the origin" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_stops_soon_and_leaves_nothing(meshes: tuple[str, str], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bridge_server.cli.main",
        "bake",
        *meshes,
        "--out",
        str(tmp_path),
        "--maps",
        "thickness",
    ]

    def listen_to_ctrl_c() -> None:
        # A test run that a script started in the background passes on that Ctrl-C is ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        [*command, "--size", "1024", "--samples", "4096"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - it takes no lock
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "trace done" in line:
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)  # the map would take minutes
        rest = process.stderr.read()
        assert process.wait(60) == ExitCode.INTERRUPTED
    assert "interrupted" in rest
    assert not list(tmp_path.iterdir())
