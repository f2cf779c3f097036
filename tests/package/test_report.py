import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from bridge_server.package.report import render_report
from bridge_server.values.manifest import (
    AssetEntry,
    BoundsEntry,
    CheckEntry,
    CollisionEntry,
    FallbackEntry,
    FileEntry,
    InputEntry,
    LightMapEntry,
    LodEntry,
    Manifest,
    MaterialEntry,
    PieceEntry,
    PlacementEntry,
    Provenance,
    StageEntry,
    TextureEntry,
)
from bridge_server.values.package import FileRole, PackageFile, Pictures
from bridge_server.values.texture import ColorSpace
from bridge_server.values.typed_json import JsonText

HOSTILE = "<script>alert('x')</script>\"&'<img src=x onerror=alert(1)>"
VOID = {"meta", "img", "br", "link", "input", "hr"}


def picture(width: int, height: int, kind: str, color=(90, 120, 200)) -> bytes:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:] = color
    pixels[: height // 2] = 255 - pixels[: height // 2]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def check(rule: str, verdict: str, remedy: str = "") -> CheckEntry:
    return CheckEntry(
        rule=rule, title=rule.replace("_", " "), verdict=verdict, figure="3 things", limit="0", remedy=remedy
    )


def manifest(**changes) -> Manifest:
    made = Manifest(
        asset=AssetEntry(name="Cup", type="static_mesh", mesh_name="SM_Cup", material_name="MI_Cup"),
        created="2026-03-01T12:00:00Z",
        files=(FileEntry(path="SM_Cup.glb", role="mesh", sha256="ab" * 32, size_bytes=1_500_000),),
        placement=PlacementEntry(
            pivot="bottom_center",
            scale=1.0,
            translation_m=(0.0, 0.0, 0.0),
            height_cm=10.0,
            bounds_cm=BoundsEntry(min=(-4.0, -3.0, 0.0), max=(4.0, 3.0, 10.0)),
        ),
        lods=(
            LodEntry(index=0, path="SM_Cup.glb", triangles=10_000, vertices=5600, screen_size=1.0),
            LodEntry(index=1, path="SM_Cup_LOD1.glb", triangles=5000, vertices=3100, screen_size=0.5),
        ),
        collision=CollisionEntry(
            method="coacd",
            containment=0.987,
            excess_volume=None,
            pieces=(PieceEntry(name="UCX_SM_Cup_00", shape="convex", vertices=24, triangles=44),),
        ),
        textures=(
            TextureEntry(
                name="T_Cup_BC",
                path="T_Cup_BC.png",
                role="base_color",
                color_space="sRGB",
                compression="TC_DEFAULT",
                lod_group="TEXTUREGROUP_WORLD",
                size_px=1024,
                bit_depth=8,
                flip_green=False,
            ),
        ),
        material=MaterialEntry(
            name="MI_Cup", parent="M_Open3DForge", textures={"BaseColor": "T_Cup_BC"}, scalars={}, vectors={}
        ),
        nanite=False,
        checklist=(check("watertight", "pass"), check("triangle_budget", "warn", "Decimate more.")),
        provenance=Provenance(
            inputs=(InputEntry(name="cup.png", sha256="cd" * 32, view="front"),),
            preset="prop_UE5_standard",
            preset_document=JsonText(json.dumps({"name": "prop_UE5_standard"})),
            generator="embedded",
            backends={"raycaster": "embree 4"},
            fallbacks=(FallbackEntry(stage="collision", code="collision_fallback", message="One hull was used."),),
            versions={"open3dforge": "0.1.0"},
            stages=(
                StageEntry(name="matte", seconds=0.31, cached=True),
                StageEntry(name="bake_normal", seconds=3.2, cached=False),
                StageEntry(name="unwrap", seconds=71.0, cached=False),
            ),
            job_id="jobs/1",
        ),
    )
    return dataclasses.replace(made, **changes)


PICTURES = Pictures(
    preview_png=picture(64, 64, "PNG"),
    turntable_webp=picture(32, 32, "WEBP"),
    thumbnail_png=picture(16, 16, "PNG"),
    comparison_png=picture(96, 32, "PNG"),
)
TEXTURES = (
    PackageFile(
        path="T_Cup_BC.png", role=FileRole.BASE_COLOR, data=picture(700, 700, "PNG"), color_space=ColorSpace.SRGB
    ),
)


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order, and all text gathered."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_tells_what_the_manifest_knows():
    page = Page(render_report(manifest(), PICTURES, TEXTURES))
    for told in (
        "SM_Cup",
        "10,000",
        "5,000",
        "8 × 6 × 10 cm",
        "98.7%",
        "T_Cup_BC",
        "UCX_SM_Cup_00",
        "Decimate more.",
        "One hull was used.",
        "prop_UE5_standard",
        "cup.png",
        "embree 4",
        "from the cache",
        "1 min 11 s",
        "1.5 MB",
        "Usable, look before you ship",
    ):
        assert told in page.text, told


def test_light_map_coordinates_have_their_card():
    assert "Light map" not in Page(render_report(manifest(), PICTURES, TEXTURES)).text
    lit = manifest(light_map=LightMapEntry(channel=1, resolution_px=256))
    assert "Light map UVs 256 px texture coordinates 1" in Page(render_report(lit, PICTURES, TEXTURES)).text


def test_the_page_needs_nothing_but_itself():
    html = render_report(manifest(), PICTURES, TEXTURES)
    page = Page(html)
    assert not page.all("script")
    assert not page.all("link")
    for attributes in page.all("img"):
        assert attributes["src"].startswith("data:image/")
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html


def test_pictures_are_described_and_tables_have_headers():
    page = Page(render_report(manifest(), PICTURES, TEXTURES))
    assert len(page.all("img")) == 4
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all(attributes.get("scope") in {"row", "col"} for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("meta")[1]["name"] == "viewport"
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}


def hostile_manifest() -> Manifest:
    """Every text of the manifest replaced by a script, except verdicts and what is no free text."""

    def poison(value):
        if dataclasses.is_dataclass(value):
            kept = {"verdict", "preset_document", "sha256", "created", "type", "schema"}
            return dataclasses.replace(
                value,
                **{
                    field.name: poison(getattr(value, field.name))
                    for field in dataclasses.fields(value)
                    if field.name not in kept
                },
            )
        if isinstance(value, str):
            return HOSTILE if value != "T_Cup_BC.png" else value
        if isinstance(value, tuple):
            return tuple(poison(item) for item in value)
        if isinstance(value, dict):
            return {f"{HOSTILE}{number}": poison(item) for number, item in enumerate(value.values())}
        return value

    made = poison(manifest())
    document = JsonText(json.dumps({HOSTILE: f"</pre>{HOSTILE}"}))
    return dataclasses.replace(made, provenance=dataclasses.replace(made.provenance, preset_document=document))


def test_text_of_the_user_stays_text():
    html = render_report(hostile_manifest(), PICTURES, TEXTURES)
    page = Page(html)
    assert not page.all("script")
    assert all(attributes.keys() <= {"src", "alt"} for attributes in page.all("img"))
    assert "<script" not in html
    assert "onerror=alert(1)&gt;" in html
    assert HOSTILE in page.text or "alert('x')" in page.text


@pytest.mark.parametrize(
    ("verdicts", "headline"),
    [
        (("pass", "pass"), "Game ready"),
        (("pass", "skipped"), "Game ready"),
        (("pass", "warn"), "Usable"),
        (("warn", "fail"), "Not ready"),
        (("skipped",), "Not checked"),
        ((), "Not checked"),
    ],
)
def test_the_headline_follows_the_worst_rule(verdicts, headline):
    checks = tuple(check(f"rule_{number}", verdict) for number, verdict in enumerate(verdicts))
    assert headline in Page(render_report(manifest(checklist=checks), PICTURES, TEXTURES)).text


def test_what_failed_comes_first():
    checks = tuple(check(verdict, verdict) for verdict in ("pass", "skipped", "fail", "warn"))
    html = render_report(manifest(checklist=checks), PICTURES, TEXTURES)
    places = [html.index(f'<span class="rule mono">{verdict}') for verdict in ("fail", "warn", "pass", "skipped")]
    assert places == sorted(places)


def test_a_bare_manifest_still_makes_a_page():
    bare = manifest(
        lods=(),
        textures=(),
        checklist=(),
        collision=CollisionEntry(method="none", containment=0.0, excess_volume=None, pieces=()),
    )
    provenance = dataclasses.replace(bare.provenance, fallbacks=(), stages=(), inputs=())
    pictures = dataclasses.replace(PICTURES, comparison_png=b"")
    page = Page(render_report(dataclasses.replace(bare, provenance=provenance), pictures, ()))
    assert "No simple collision." in page.text
    assert len(page.all("img")) == 2


def test_textures_are_shown_small_and_sixteen_bits_are_read():
    from bridge_server.stages.png_writer import encode_png

    pixels = np.random.default_rng(0).integers(0, 65535, (600, 600, 3)).astype(np.uint16)
    deep = dataclasses.replace(TEXTURES[0], data=encode_png(pixels))
    html = render_report(manifest(), PICTURES, (deep,))
    assert len(html) < 200_000
    Page(html)


def test_the_same_manifest_gives_the_same_page():
    assert render_report(manifest(), PICTURES, TEXTURES) == render_report(manifest(), PICTURES, TEXTURES)
