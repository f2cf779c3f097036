"""Input that cannot be used is refused by name, rule and remedy, or mended and said so; the server goes on."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from open3dforge.v1 import jobs_pb2
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.errors import ForgeError, InputError, NotFound, PresetError
from bridge_server.package.check import check_package
from bridge_server.values.checklist import Verdict
from tests.end_to_end import input_files, model_files
from tests.end_to_end.hostile_files import (
    ASSET_NAMES,
    CONVERTED_PHOTOS,
    FILE_NAMES,
    REFUSED_AT_THE_DOOR,
    REFUSED_MESHES,
    REFUSED_PHOTOS,
    invisible_png,
    open_bowl,
    some_not_a_number,
    ten_shells,
    two_boxes_on_an_edge,
    uniform_png,
)
from tests.end_to_end.workplace import TINY, Forged, Workplace, need_weights

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nothing_half_written(workplace: Workplace) -> Iterator[None]:
    """Whatever a test does, only whole packages of jobs that succeeded stand on the server."""
    yield
    assert workplace.leftovers() == []


@pytest.fixture
def refuse(workplace: Workplace, tmp_path: Path) -> Callable[..., ForgeError]:
    """Submit a file that has to be refused; no job and no folder come of it."""

    def submit(path: Path, kind: type[ForgeError] = InputError, **wish: object) -> ForgeError:
        jobs, folders = len(workplace.client.list_jobs([], 10_000)), workplace.job_folders()
        with pytest.raises(kind) as caught:
            workplace.submit(path, **wish)
        assert len(workplace.client.list_jobs([], 10_000)) == jobs
        assert workplace.job_folders() == folders
        return caught.value

    return submit


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", REFUSED_PHOTOS)
def test_photos_that_cannot_be_read_are_refused(refuse, tmp_path: Path, name: str) -> None:
    make, rule = REFUSED_PHOTOS[name]
    error = refuse(written(tmp_path, name, make()))
    assert error.subject == name
    assert rule in error.message
    assert error.remedy


@pytest.mark.parametrize("name", REFUSED_AT_THE_DOOR)
def test_meshes_that_are_not_what_they_are_called_are_refused(refuse, tmp_path: Path, name: str) -> None:
    make, rule = REFUSED_AT_THE_DOOR[name]
    error = refuse(written(tmp_path, name, make()))
    assert error.subject == name
    assert rule in error.message
    assert error.remedy


def test_an_unknown_extension_is_told_what_is_known(refuse, tmp_path: Path) -> None:
    error = refuse(written(tmp_path, "model.3ds", b"\x4d\x4d" + bytes(200)))
    assert "PNG" in error.remedy
    assert "GLB, glTF, FBX, OBJ, PLY" in error.remedy


@pytest.mark.parametrize("name", REFUSED_MESHES)
def test_meshes_without_a_surface_fail_their_job(workplace: Workplace, tmp_path: Path, name: str) -> None:
    make, rule = REFUSED_MESHES[name]
    error = workplace.fail(written(tmp_path, name, make()), settings=TINY)
    assert error.subject == name
    assert rule in error.message
    assert error.stage == "load_mesh"
    assert error.remedy
    assert error.code.startswith("MESH_")


@pytest.mark.parametrize("weights", [False, True])
def test_a_photo_without_a_subject_fails_its_job(workplace: Workplace, tmp_path: Path, weights: bool) -> None:
    if weights:
        need_weights()
    photo = written(tmp_path, "wall.png", uniform_png() if weights else invisible_png())
    error = workplace.fail(photo, settings=TINY)
    assert (error.code, error.subject, error.stage) == ("NO_SUBJECT", "wall.png", "matte")
    assert error.remedy


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERTED_PHOTOS)
def test_unusual_photos_are_converted_and_said_so(workplace: Workplace, tmp_path: Path, name: str) -> None:
    make, code = CONVERTED_PHOTOS[name]
    if name.endswith(".jpg"):
        need_weights()
    forged = workplace.forge(written(tmp_path, name, make()), settings=TINY)
    (told,) = [notice for notice in forged.job.notices if notice.code == code]
    assert name in told.message
    assert_good(forged)
    low, high = parts_of(forged)["mesh"].bounds_m
    assert (high - low)[0] / (high - low)[1] == pytest.approx(0.8, abs=0.15), "it is still the vase"


def parts_of(forged: Forged) -> dict[str, model_files.Part]:
    """The render mesh as ``mesh``."""
    manifest = forged.manifest
    parts = model_files.glb_parts((forged.folder / manifest.lods[0].path).read_bytes())
    return {"mesh" if name == manifest.asset.mesh_name else name: part for name, part in parts.items()}


def assert_good(forged: Forged) -> None:
    assert check_package(forged.zip).verdict is Verdict.PASS
    assert check_package(forged.folder).verdict is Verdict.PASS


def codes(forged: Forged) -> set[str]:
    return {notice.code for notice in forged.job.notices}


def rules(forged: Forged) -> dict[str, str]:
    return {check.rule: check.verdict for check in forged.manifest.checklist}


def shell_count(part: model_files.Part) -> int:
    """Connected pieces; vertices at one place are one."""
    _, at = np.unique(part.positions_m.round(4), axis=0, return_inverse=True)
    faces = at.reshape(-1)[part.faces]
    ends = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(ends)), ends.T), (at.max() + 1,) * 2)
    return int(connected_components(graph, directed=False)[0])


@pytest.mark.slow
def test_ten_shells_all_survive(workplace: Workplace, tmp_path: Path) -> None:
    path = input_files.obj_file(tmp_path, "balls.obj", ten_shells())
    forged = workplace.forge(path, settings={**TINY, "decimate.triangle_count": 1200})
    assert shell_count(parts_of(forged)["mesh"]) == 10
    assert_good(forged)


@pytest.mark.slow
def test_an_open_surface_stays_open_and_is_told(workplace: Workplace, tmp_path: Path) -> None:
    forged = workplace.forge(input_files.obj_file(tmp_path, "bowl.obj", open_bowl()), settings=TINY)
    assert "mesh_open" in codes(forged)
    assert rules(forged)["watertight"] == "warn"
    assert_good(forged)


@pytest.mark.slow
def test_a_non_manifold_mesh_is_parted_and_told(workplace: Workplace, tmp_path: Path) -> None:
    forged = workplace.forge(input_files.obj_file(tmp_path, "stairs.obj", two_boxes_on_an_edge()), settings=TINY)
    assert "non_manifold_split" in codes(forged)
    assert {rules(forged)[rule] for rule in ("watertight", "non_manifold_edges", "winding")} == {"pass"}
    assert_good(forged)


@pytest.mark.slow
def test_a_few_lost_vertices_are_dropped_and_told(workplace: Workplace, tmp_path: Path) -> None:
    forged = workplace.forge(written(tmp_path, "ball.obj", some_not_a_number()), settings=TINY)
    assert {"not_finite_dropped", "holes_filled"} <= codes(forged)
    assert rules(forged)["watertight"] == "pass"
    assert_good(forged)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"decimate.triangle_cuont": 5}, "triangle_cuont"),
        ({"decimate.triangle_count": -5}, "between 12 and"),
        ({"decimate.triangle_count": "many"}, "whole number"),
        ({"decimation.triangle_count": 5}, "decimation"),
        ({"decimate.quality": "best"}, "preview, final"),
        ({"quality": "ultra"}, "ultra"),
        ({"trace.resolution_px": "nan"}, "whole number"),
        ({"backends.raycaster": "abacus"}, "abacus"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_by_name(refuse, inputs: Path, settings, words: str) -> None:
    error = refuse(input_files.vase_photo(inputs), ForgeError, settings=settings)
    assert error.reason in ("BAD_PRESET", "BACKEND_UNAVAILABLE", "NOT_FOUND")
    assert words in str(error)


def test_an_unknown_preset_is_told_which_are_known(refuse, inputs: Path) -> None:
    error = refuse(input_files.vase_photo(inputs), NotFound, preset="prop_UE6")
    assert "prop_UE6" in error.subject
    assert "prop_UE5_standard" in error.remedy


def test_a_wrong_preset_is_not_saved(workplace: Workplace) -> None:
    document = json.loads(workplace.client.get_preset("prop_UE5_standard").document)
    names = [preset.name for preset in workplace.client.list_presets()]
    document |= {"name": "mine", "stages": [{"stage": "decimate", "triangles": 5}, {"stage": "polish"}]}
    with pytest.raises(PresetError) as caught:
        workplace.client.save_preset(json.dumps(document))
    assert "triangles" in caught.value.message
    assert "polish" in caught.value.message
    assert [preset.name for preset in workplace.client.list_presets()] == names


@pytest.mark.parametrize("name", ASSET_NAMES, ids=ascii)
def test_asset_names_that_are_no_file_names_are_refused(refuse, inputs: Path, name: str) -> None:
    error = refuse(input_files.vase_photo(inputs), name=name)
    assert error.subject.startswith("asset name")
    assert ASSET_NAMES[name] in error.message
    assert error.remedy.startswith("Use ")


@pytest.mark.parametrize("name", FILE_NAMES, ids=ascii)
def test_file_names_become_asset_names_that_are_safe(workplace: Workplace, tmp_path: Path, name: str) -> None:
    job = workplace.submit(input_files.vase_photo(tmp_path, name), settings=TINY)
    workplace.client.cancel_job(job.name)
    assert job.asset_name == FILE_NAMES[name]
    assert workplace.ended(job).state == jobs_pb2.JOB_STATE_CANCELLED


@pytest.mark.parametrize("name", ["..\\..\\evil.png", "C:evil.png", "new\nline.png"], ids=ascii)
def test_file_names_that_lead_elsewhere_are_refused(refuse, inputs: Path, tmp_path: Path, name: str) -> None:
    error = refuse(input_files.vase_photo(tmp_path, name))
    assert "no file name may have" in error.message
    assert error.remedy


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_line_tells_file_rule_and_remedy(
    workplace: Workplace, tmp_path: Path, capsys: Output, as_json: bool
) -> None:
    path = written(tmp_path, "list.png", b"milk\neggs\n")
    flags = ["--json"] if as_json else []
    server = ["--server", workplace.client.endpoint.address]
    out = tmp_path / "out"
    assert run(["submit", str(path), "--out", str(out), *server, *flags]) == ExitCode.USAGE
    seen = capsys.readouterr()
    assert "list.png: is not an image that can be read: it holds text." in seen.err
    assert "save it as one of these" in seen.err
    assert not out.exists()
    if as_json:
        error = json.loads(seen.out.splitlines()[-1])["error"]
        assert (error["reason"], error["subject"]) == ("BAD_INPUT", "list.png")


def test_the_command_line_ends_as_the_job_did(workplace: Workplace, tmp_path: Path, capsys: Output) -> None:
    path = written(tmp_path, "line.obj", REFUSED_MESHES["line.obj"][0]())
    server = ["--server", workplace.client.endpoint.address]
    out = tmp_path / "out"
    assert run(["submit", str(path), "--out", str(out), *server]) == ExitCode.FAILED
    seen = capsys.readouterr()
    assert "line.obj: load_mesh: all its triangles are degenerate" in seen.err
    assert "Export it as GLB" in seen.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.png"], ExitCode.USAGE, "there is no such file"),
        (["VASE", "--name", "../evil"], ExitCode.USAGE, "Use Evil"),
        (["VASE", "--preset", "prop_UE6"], ExitCode.USAGE, "prop_UE5_standard"),
        (["VASE", "--set", "decimate.triangles=5"], ExitCode.USAGE, "triangles"),
        (["VASE", "--set", "decimate"], ExitCode.USAGE, "--set stage.field=value"),
        (["VASE", "--view", "top=VASE"], ExitCode.USAGE, "one of front, back, left, right"),
        (["VASE", "--view", "front=VASE"], ExitCode.USAGE, "the front is given twice"),
        (["VASE", "--generator", "magic"], ExitCode.FAILED, "magic"),
    ],
    ids=str,
)
def test_wrong_commands_end_with_their_exit_code(
    workplace: Workplace, inputs: Path, capsys: Output, arguments: list[str], code: ExitCode, words: str
) -> None:
    vase = str(input_files.vase_photo(inputs))
    given = [argument.replace("VASE", vase) for argument in arguments]
    assert run(["submit", *given, "--server", workplace.client.endpoint.address]) == code
    assert words in capsys.readouterr().err


def test_after_all_that_the_server_forges_a_good_asset(workplace: Workplace, inputs: Path) -> None:
    forged = workplace.forge(input_files.textured_obj(inputs), settings={**TINY, "decimate.triangle_count": 310})
    assert_good(forged)
    assert parts_of(forged)["mesh"].faces.shape[0] == pytest.approx(310, rel=0.01)
    assert Image.open(forged.folder / "preview.png").size == (64, 64)
