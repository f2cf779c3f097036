import json
from pathlib import Path

import pytest

from bridge_server.errors import Conflict, DiskFull, InputError, NotFound, PresetError
from bridge_server.pipeline.describe import describe_stages
from bridge_server.pipeline.preset import Preset
from bridge_server.pipeline.preset_library import PresetLibrary
from bridge_server.pipeline.quality import Quality
from tests.pipeline.toy import DOCUMENT, QUALITY, REGISTRY, Mood


def read(text: str) -> Preset:
    return Preset.from_json(text, subject="preset 'toy'", registry=REGISTRY)


def document(**changes: object) -> str:
    return json.dumps({**json.loads(DOCUMENT), **changes})


def test_a_preset_round_trips() -> None:
    preset = read(DOCUMENT)
    assert read(preset.to_json()) == preset
    assert json.loads(preset.to_json()) == json.loads(DOCUMENT)
    spec = preset.spec("decimate")
    assert spec is not None
    assert spec.fields == {"triangle_count": 50}
    assert preset.spec("lods") is None


def test_values_arrive_in_the_type_of_their_field() -> None:
    stage = {"stage": "matte", "softness": 1, "mood": "lively", "keep": False, "tint": [0, 0.5, 1]}
    built = read(document(stages=[stage])).stages[0].build(REGISTRY)
    assert (type(built.softness), built.softness) == (float, 1.0)  # type: ignore[attr-defined]
    assert built.mood is Mood.LIVELY  # type: ignore[attr-defined]
    assert built.keep is False  # type: ignore[attr-defined]
    assert built.tint == (0.0, 0.5, 1.0)  # type: ignore[attr-defined]


def test_everything_that_is_wrong_is_named_at_once() -> None:
    stages = [
        {"stage": "matte", "softness": 2.0, "mood": "angry", "keep": 1, "tint": [0, 1]},
        {"stage": "decimate", "triangle_count": 3, "colour": "red"},
        {"stage": "fly"},
        {"stage": "matte"},
        "place",
        {"stage": "bake_ao", "size": 1.5, "folder": None},
    ]
    with pytest.raises(PresetError) as caught:
        read(document(stages=stages, quality=7, asset_type="cloud", colour=1, nanite="yes", backends={"engine": "v8"}))
    message = caught.value.message
    assert caught.value.subject == "preset 'toy'"
    for words in (
        "16 things are wrong",
        "stages[0] matte.softness: must lie between 0 and 1, not 2",
        "stages[0] matte.mood: must be one of calm, lively, not 'angry'",
        "stages[0] matte.keep: must be true or false, not 1",
        "stages[0] matte.tint: must be 3 numbers, not [0, 1]",
        "stages[1] decimate.triangle_count: must lie between 4 and 1000000, not 3",
        "stages[1] decimate.colour: is no field of this stage; it has triangle_count",
        "stages[2] fly: there is no such stage. Known: matte, generate",
        "stages[3]: stage 'matte' stands in the list already",
        "stages[4]: must be an object",
        "stages[5] bake_ao.size: must be a whole number, not 1.5",
        "stages[5] bake_ao.folder: must be text, not None",
        "quality: must be text, not 7",
        "asset_type: must be one of static_mesh, skeletal_mesh, not 'cloud'",
        "colour: is not known here",
        "nanite: must be true or false, not 'yes'",
        "backends.engine: there is no kind of backend 'engine'; known are matting",
    ):
        assert words in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a JSON document"),
        ("{", "is not a JSON document"),
        ("[1]", "must be a JSON object"),
        (b"\xff\xfe\x00", "is not a JSON document"),
        ("[" * 100_000, "is not a JSON document"),
        (document(schema="open3dforge.preset.v2"), "schema: must be 'open3dforge.preset.v1'"),
        (document(stages=[]), "stages: must be a list of at least one stage"),
        (document(stages={}), "stages: must be a list"),
        (document(backends=[]), "backends: must be an object"),
        (document(backends={"matting": 3}), "backends.matting: must be the name of a backend"),
        (document(backends={"generator": "toy"}), "set by the field 'generator'"),
        (DOCUMENT.replace("50", "NaN"), "NaN is no JSON number"),
        (DOCUMENT.replace("50", "1e999"), "triangle_count: must be a whole number"),
        (DOCUMENT.replace("50", "true"), "triangle_count: must be a whole number"),
        (DOCUMENT.replace('"nanite": false', '"nanite": false, "nanite": true'), "nanite: stands more than once"),
        (DOCUMENT.replace('  "quality": "balanced",\n', ""), "quality: is missing"),
    ],
)
def test_wrong_documents_are_refused(text: str | bytes, words: str) -> None:
    with pytest.raises(PresetError) as caught:
        Preset.from_json(text, subject="s", registry=REGISTRY)
    assert words in caught.value.message


def test_overrides_are_read_by_the_type_of_their_field() -> None:
    wanted = ["matte.softness=0.25", "matte.mood=lively", "matte.keep=off", "matte.tint=0,1,0.5"]
    wanted += ["decimate.triangle_count=60", "decimate.triangle_count=70", "quality=hero", "nanite=true"]
    wanted += ["generator=second", "backends.matting=u2net", "bake_ao.folder=a=b"]
    preset = read(DOCUMENT).with_overrides(wanted, registry=REGISTRY)
    fields = {spec.stage: spec.fields for spec in preset.stages}
    assert fields["matte"] == {"softness": 0.25, "mood": Mood.LIVELY, "keep": False, "tint": (0.0, 1.0, 0.5)}
    assert fields["decimate"] == {"triangle_count": 70}
    assert fields["bake_ao"] == {"folder": "a=b"}
    assert (preset.quality, preset.nanite, preset.generator) == ("hero", True, "second")
    assert preset.backends == {"matting": "u2net"}
    assert read(preset.to_json()) == preset
    assert read(DOCUMENT).with_overrides([], registry=REGISTRY) == read(DOCUMENT)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("decimate.triangle_count", "must look like stage.field=value"),
        ("decimate=5", "must look like stage.field=value"),
        ("=5", "must look like stage.field=value"),
        ("", "must look like stage.field=value"),
        ("decimate.triangle_count=", "must be a whole number, not ''"),
        ("decimate.triangle_count=5.5", "must be a whole number, not '5.5'"),
        ("decimate.triangle_count=3", "must lie between 4 and 1000000, not 3"),
        ("decimate.colour=red", "stage 'decimate' has no field 'colour'; it has triangle_count"),
        ("load_mesh.a=1", "the preset has no stage 'load_mesh'; it has matte, generate, symmetry"),
        ("fly.a=1", "the preset has no stage 'fly'"),
        ("matte.softness=nan", "must be a number, not nan"),
        ("matte.keep=maybe", "must be true or false, not 'maybe'"),
        ("matte.mood=angry", "must be one of calm, lively, not 'angry'"),
        ("matte.tint=1,2,0", "must lie between 0 and 1, not 2"),
        ("matte.tint=1,2", "must be 3 numbers"),
        ("matte.tint=1,a,2", "must be 3 numbers, not '1,a,2'"),
        ("backends.engine=v8", "there is no kind of backend 'engine'"),
        ("nanite=perhaps", "must be true or false"),
        ("name=other", "must look like stage.field=value"),
    ],
)
def test_wrong_overrides_are_refused(override: str, words: str) -> None:
    with pytest.raises(PresetError) as caught:
        read(DOCUMENT).with_overrides(["place.height_cm=1", override], registry=REGISTRY)
    assert f"{override}: " in caught.value.message
    assert words in caught.value.message
    assert caught.value.message.startswith("one thing is wrong")


def test_all_wrong_overrides_are_named_at_once() -> None:
    with pytest.raises(PresetError, match=r"2 things are wrong: a\.b=1: .*; matte.keep=x: "):
        read(DOCUMENT).with_overrides(["a.b=1", "matte.keep=x"], registry=REGISTRY)


def test_every_setting_is_described() -> None:
    described = {stage.name: stage for stage in describe_stages(REGISTRY)}
    matte = described["matte"]
    assert matte.doc == "Keep everything."
    assert (matte.reads, matte.writes, matte.backends) == (("photos",), "cutouts", ())
    softness, mood, keep, tint = matte.fields
    assert (softness.type, softness.default, softness.low, softness.high) == ("float", 0.5, 0.0, 1.0)
    assert softness.doc == "How soft the edge is.\n\nIt has a second paragraph."
    assert (mood.type, mood.default, mood.choices) == ("enum", "calm", ("calm", "lively"))
    assert (keep.type, keep.default, keep.low) == ("bool", True, None)
    assert (tint.type, tint.default) == ("float3", (1.0, 1.0, 1.0))
    assert described["place"].optional_reads == ("cutouts",)
    assert described["generate"].backends == ("generator",)
    assert described["generate"].fields[1].doc == ""


@pytest.fixture
def library(tmp_path: Path) -> PresetLibrary:
    shipped, qualities = tmp_path / "shipped", tmp_path / "quality"
    shipped.mkdir()
    qualities.mkdir()
    (shipped / "toy.json").write_text(DOCUMENT)
    (qualities / "balanced.json").write_text(QUALITY.to_json())
    return PresetLibrary(shipped=shipped, user=tmp_path / "data" / "user", qualities=qualities, registry=REGISTRY)


def named(name: str, **changes: object) -> Preset:
    return read(document(name=name, **changes))


def test_presets_are_saved_listed_loaded_and_deleted(library: PresetLibrary) -> None:
    assert library.names() == ("toy",)
    library.save(named("mine"))
    assert library.names() == ("toy", "mine")
    assert library.load("mine") == named("mine")
    assert [(entry.name, entry.shipped) for entry in library.entries()] == [("toy", True), ("mine", False)]
    library.save(named("mine", description="new"), overwrite=True)
    assert library.load("mine").description == "new"
    library.delete("mine")
    assert library.names() == ("toy",)
    with pytest.raises(NotFound):
        library.load("mine")
    with pytest.raises(NotFound):
        library.delete("mine")


def test_shipped_presets_stay_as_they_are(library: PresetLibrary) -> None:
    for name in ("toy", "TOY"):
        with pytest.raises(Conflict, match="shipped"):
            library.save(named(name), overwrite=True)
        with pytest.raises(Conflict, match="shipped"):
            library.delete(name)
    assert (library.shipped / "toy.json").read_text() == DOCUMENT
    library.user.mkdir(parents=True)
    (library.user / "toy.json").write_text(document(description="hidden"))
    assert library.load("toy").description == "A toy."
    assert library.names() == ("toy",)


def test_a_name_is_taken_only_once(library: PresetLibrary) -> None:
    library.save(named("mine"))
    with pytest.raises(Conflict, match="already"):
        library.save(named("mine"))
    with pytest.raises(Conflict, match="already"):
        library.save(named("Mine"), overwrite=True)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", "/etc/x", "a.json", "nul", "COM1", "a b", "ä", "x" * 65, "-a", "a\n", "a\0"],
)
def test_names_that_are_paths_or_devices_are_refused(library: PresetLibrary, name: str) -> None:
    with pytest.raises(InputError):
        library.load(name)
    with pytest.raises(InputError):
        library.delete(name)
    with pytest.raises(InputError):
        library.save(named(name))
    assert not library.user.exists()


def test_a_broken_user_preset_is_listed_with_its_problem(library: PresetLibrary) -> None:
    library.user.mkdir(parents=True)
    (library.user / "broken.json").write_text("{")
    (library.user / "liar.json").write_text(document(name="other"))
    (library.user / "lost.json").write_text(document(name="lost", quality="divine"))
    problems = {entry.name: entry.problem for entry in library.entries()}
    assert problems["toy"] == ""
    assert "JSON" in problems["broken"]
    assert "calls itself 'other'" in problems["liar"]
    assert "'divine' is not known; known are balanced" in problems["lost"]


def test_a_preset_that_cannot_be_loaded_is_not_saved(library: PresetLibrary) -> None:
    with pytest.raises(PresetError, match="divine"):
        library.save(named("mine", quality="divine"))
    assert not library.user.exists()


def test_a_full_disk_leaves_the_old_preset(library: PresetLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    library.save(named("mine"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull):
        library.save(named("mine", description="new"), overwrite=True)
    assert library.load("mine").description == "A toy."
    assert [path.name for path in library.user.iterdir()] == ["mine.json"]


def test_a_folder_that_cannot_be_written_is_named(library: PresetLibrary) -> None:
    library.user.parent.mkdir(parents=True)
    library.user.write_text("a file")
    with pytest.raises(InputError) as caught:
        library.save(named("mine"))
    assert caught.value.subject == str(library.user)


def test_qualities(library: PresetLibrary) -> None:
    assert library.quality("balanced") == QUALITY
    with pytest.raises(NotFound, match="Known: balanced"):
        library.quality("divine")
    with pytest.raises(PresetError) as caught:
        Quality.from_json('{"schema": "x", "name": "a", "resolution": 1, "shape_steps": 1.5, "speed": 1}')
    for words in ("schema", "resolution: must lie between", "shape_steps", "texture_steps: is missing", "speed"):
        assert words in caught.value.message
