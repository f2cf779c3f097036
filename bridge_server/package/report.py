"""The report: one self-contained page with pictures, figures, checklist, timings and provenance of an asset.

No script, no font, no link that leaves the file. Whatever came from the user or from a file goes through ``text``.
"""

import json
from collections.abc import Iterable, Sequence

from bridge_server.package.report_pieces import (
    counted,
    data_uri,
    day,
    file_size,
    head,
    listed,
    pill,
    seconds,
    shrunk,
    spaced,
    text,
    track,
)
from bridge_server.package.report_style import STYLE
from bridge_server.values.checklist import Verdict
from bridge_server.values.manifest import CheckEntry, FallbackEntry, FileEntry, LodEntry, Manifest, StageEntry
from bridge_server.values.package import PackageFile, Pictures

THUMBNAIL_PX = 320
WORST_FIRST = ("fail", "warn", "pass", "skipped")
COUNT_WORDS = {"fail": "failed", "warn": "to look at", "pass": "passed", "skipped": "skipped"}
TEXTURE_WORDS = {
    "base_color": "Base colour",
    "normal_directx": "Normal, DirectX (Unreal)",
    "normal_opengl": "Normal, OpenGL",
    "orm": "Occlusion, roughness, metallic",
    "mask_map": "Mask map: metallic, occlusion, detail, smoothness",
    "metallic_roughness": "Roughness and metallic",
    "invented_mask": "Mask of invented texels",
}


def render_report(manifest: Manifest, pictures: Pictures, textures: Sequence[PackageFile]) -> str:
    """The page as HTML text; ``textures`` are the PNG files whose previews it shows."""
    title = f"{manifest.asset.mesh_name} · Open3DForge report"
    parts = (
        _header(manifest),
        _pictures(manifest, pictures),
        _checklist(manifest.checklist),
        _notes(manifest.provenance.fallbacks),
        _meshes(manifest),
        _textures(manifest, textures),
        _timings(manifest.provenance.stages),
        _provenance(manifest),
    )
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f"<footer>Written by Open3DForge for asset_manifest.json of {text(manifest.created)}.</footer>\n"
        "</main>\n</body>\n</html>\n"
    )


def _header(manifest: Manifest) -> str:
    kind = "Skeletal mesh" if manifest.asset.type == "skeletal_mesh" else "Static mesh"
    verdict, headline, detail = _state(manifest.checklist)
    return (
        f'<header>\n<div>\n<p class="kicker">{kind} · {text(manifest.provenance.preset)}</p>\n'
        f"<h1>{text(manifest.asset.mesh_name)}</h1>\n"
        f'<p class="soft">Forged {text(day(manifest.created))} with the {text(manifest.provenance.generator)} '
        f"generator in {seconds(sum(stage.seconds for stage in manifest.provenance.stages))}</p>\n</div>\n"
        f'<p class="state {verdict}" role="status"><strong>{headline}</strong>{detail}</p>\n</header>'
    )


def _state(checks: Sequence[CheckEntry]) -> tuple[str, str, str]:
    """Verdict of the whole, a headline and a sentence for it."""
    failed = [check.title for check in checks if check.verdict == Verdict.FAIL]
    warned = [check.title for check in checks if check.verdict == Verdict.WARN]
    judged = sum(check.verdict != Verdict.SKIPPED for check in checks)
    if failed:
        return "fail", "Not ready for the game", f"{counted(failed, 'rule')} of {judged} failed: {listed(failed)}."
    if warned:
        return "warn", "Usable, look before you ship", f"{counted(warned, 'warning')}: {listed(warned)}."
    if not judged:
        return "skipped", "Not checked", "No rule of the checklist was applied."
    return "pass", "Game ready", f"All {judged} rules of the checklist are met."


def _pictures(manifest: Manifest, pictures: Pictures) -> str:
    name = text(manifest.asset.mesh_name)
    comparison = ""
    if pictures.comparison_png:
        comparison = (
            f'<figure class="wide"><img src="{shrunk(pictures.comparison_png, 1344)}" '
            f'alt="{name} three times: the high poly, the triangles of the low poly, the low poly with its maps">'
            '<figcaption class="panels"><span>High poly</span><span>Triangles of LOD0</span>'
            "<span>LOD0 with baked maps</span></figcaption></figure>\n"
        )
    turntable = data_uri("image/webp", pictures.turntable_webp)
    return (
        '<section aria-label="Pictures and figures">\n<div class="pictures">\n'
        f'<figure><img src="{shrunk(pictures.preview_png, 1024)}" alt="{name}, rendered from the front left">'
        "<figcaption>LOD0 with its baked maps</figcaption></figure>\n"
        f'<div><figure><img src="{turntable}" alt="{name} turning once around">'
        f"<figcaption>Turntable</figcaption></figure>\n{_figures(manifest)}</div>\n"
        f"</div>\n{comparison}</section>"
    )


def _figures(manifest: Manifest) -> str:
    low, high = manifest.placement.bounds_cm.min, manifest.placement.bounds_cm.max
    width, depth, height = (end - start for start, end in zip(low, high, strict=True))
    size_px = max((texture.size_px for texture in manifest.textures), default=0)
    lods = " / ".join(f"{lod.triangles:,}" for lod in manifest.lods[1:])
    pieces = manifest.collision.pieces
    density = next((check.figure for check in manifest.checklist if check.rule == "texel_density_spread"), "")
    total = sum(file.size_bytes for file in manifest.files)
    cards = [
        (
            "Triangles of LOD0",
            f"{manifest.lods[0].triangles:,}" if manifest.lods else "none",
            f"then {lods}" * bool(lods),
        ),
        ("Size", f"{width:.4g} × {depth:.4g} × {height:.4g} cm", "width × depth × height"),
        ("Textures", f"{size_px} px" if size_px else "none", counted(manifest.textures, "map") * bool(size_px)),
        (
            "Collision",
            counted(pieces, "piece"),
            f"{sum(piece.triangles for piece in pieces):,} triangles, holds {manifest.collision.containment:.1%}",
        ),
        ("Package", file_size(total), counted(manifest.files, "file") + (", Nanite" if manifest.nanite else "")),
    ]
    if manifest.light_map is not None:
        entry = manifest.light_map
        cards.append(("Light map UVs", f"{entry.resolution_px} px", f"texture coordinates {entry.channel}"))
    if density:
        cards.append(("Texel density", density.partition(",")[0], density.partition(",")[2].strip()))
    items = "".join(
        f"<div><dt>{text(title)}</dt><dd>{text(value)}<small>{text(note)}</small></dd></div>\n"
        for title, value, note in cards
    )
    return f'<dl class="cards">\n{items}</dl>\n'


def _checklist(checks: Sequence[CheckEntry]) -> str:
    if not checks:
        return ""
    ordered = sorted(checks, key=lambda check: WORST_FIRST.index(check.verdict) if check.verdict in WORST_FIRST else 0)
    counts = ", ".join(
        f"{sum(check.verdict == verdict for check in checks)} {COUNT_WORDS[verdict]}"
        for verdict in WORST_FIRST
        if any(check.verdict == verdict for check in checks)
    )
    rows = "".join(
        f"<tr><td>{pill(check.verdict)}</td>"
        f'<th scope="row">{text(check.title)}<span class="rule mono">{text(check.rule)}</span></th>'
        f'<td data-label="Measured">{text(check.figure)}</td><td data-label="Limit">{text(check.limit)}</td>'
        f"{_remedy(check.remedy)}</tr>\n"
        for check in ordered
    )
    return (
        '<section>\n<h2>Checklist</h2>\n<table class="stack">\n'
        f"<caption>Is it ready for a game? {counts}.</caption>\n"
        f"{head('Verdict', 'Rule', 'Measured', 'Limit', 'What to do')}\n<tbody>\n{rows}</tbody>\n</table>\n</section>"
    )


def _remedy(remedy: str) -> str:
    return f'<td data-label="What to do">{text(remedy)}</td>' if remedy else "<td></td>"


def _notes(fallbacks: Sequence[FallbackEntry]) -> str:
    if not fallbacks:
        return ""
    items = "".join(
        f"<li><b>{text(spaced(note.stage))}</b>: {text(note.message)} "
        f'<span class="soft mono">{text(note.code)}</span></li>\n'
        for note in fallbacks
    )
    return f'<section>\n<h2>What went another way than asked</h2>\n<ul class="notes">\n{items}</ul>\n</section>'


def _meshes(manifest: Manifest) -> str:
    most = max((lod.triangles for lod in manifest.lods), default=1)
    lods = "".join(_lod_row(lod, most) for lod in manifest.lods)
    pieces = "".join(
        f'<tr><th scope="row" class="break">{text(piece.name)}</th><td>{text(piece.shape)}</td>'
        f'<td class="number">{piece.vertices:,}</td><td class="number">{piece.triangles:,}</td></tr>\n'
        for piece in manifest.collision.pieces
    )
    collision = (
        f"<table>\n<caption>Collision by {text(manifest.collision.method)}</caption>\n"
        f"{head('Piece', 'Shape', '#Vertices', '#Triangles')}\n<tbody>\n{pieces}</tbody>\n</table>"
        if pieces
        else '<p class="soft">No simple collision.</p>'
    )
    return (
        '<section>\n<h2>Meshes</h2>\n<div class="columns">\n<div>\n<table>\n<caption>Levels of detail</caption>\n'
        f"{head('Level', '#Triangles', '#Vertices', '#Screen size')}\n<tbody>\n{lods}</tbody>\n</table>\n</div>\n"
        f"<div>\n{collision}\n</div>\n</div>\n</section>"
    )


def _lod_row(lod: LodEntry, most: int) -> str:
    return (
        f'<tr><th scope="row" title="{text(lod.path)}">LOD{lod.index}{track(lod.triangles / max(most, 1))}</th>'
        f'<td class="number">{lod.triangles:,}</td><td class="number">{lod.vertices:,}</td>'
        f'<td class="number">{lod.screen_size:.3g}</td></tr>\n'
    )


def _textures(manifest: Manifest, textures: Sequence[PackageFile]) -> str:
    data = {file.path: file.data for file in textures}
    items = ""
    for texture in manifest.textures:
        if texture.path in data:
            role = TEXTURE_WORDS.get(texture.role, spaced(texture.role))
            items += (
                f'<figure><img src="{shrunk(data[texture.path], THUMBNAIL_PX)}" alt="{text(role)} map">'
                f"<figcaption><b>{text(texture.name)}</b><br>{text(role)}<br>{texture.size_px} px, "
                f"{texture.bit_depth} bit, {text(texture.color_space)}, "
                f"{text(texture.compression)}</figcaption></figure>\n"
            )
    return f'<section>\n<h2>Textures</h2>\n<div class="textures">\n{items}</div>\n</section>' if items else ""


def _timings(stages: Sequence[StageEntry]) -> str:
    if not stages:
        return ""
    longest = max(*(stage.seconds for stage in stages), 1e-9)
    rows = "".join(
        f'<tr><th scope="row">{text(spaced(stage.name))}</th>'
        f"<td>{track(stage.seconds / longest, cached=stage.cached)}</td>"
        f'<td class="number">{"from the cache" if stage.cached else seconds(stage.seconds)}</td></tr>\n'
        for stage in stages
    )
    total = seconds(sum(stage.seconds for stage in stages))
    cached = sum(stage.cached for stage in stages)
    note = f", {cached} of {len(stages)} stages from the cache" if cached else ""
    return (
        f"<section>\n<h2>Time</h2>\n<table>\n<caption>{total} in all{note}.</caption>\n"
        f"{head('Stage', 'Share', '#Time')}\n<tbody>\n{rows}</tbody>\n</table>\n</section>"
    )


def _provenance(manifest: Manifest) -> str:
    source = manifest.provenance
    facts = [("Job", source.job_id), ("Preset", source.preset), ("Generator", source.generator)]
    facts += [
        (f"Input{f' ({entry.view})' if entry.view else ''}", f"{entry.name} · sha256 {entry.sha256}")
        for entry in source.inputs
    ]
    facts += [(spaced(kind), identity) for kind, identity in source.backends.items()]
    facts += [(name, version) for name, version in source.versions.items()]
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>\n" for name, value in facts)
    document = json.dumps(json.loads(source.preset_document), indent=2, ensure_ascii=False)
    return (
        f'<section>\n<h2>Where it comes from</h2>\n<dl class="facts">\n{items}</dl>\n'
        f"<details><summary>The preset as it ran</summary><pre>{text(document)}</pre></details>\n"
        f"<details><summary>{counted(manifest.files, 'file')} of the package</summary>\n"
        f"{_files(manifest.files)}</details>\n"
        "</section>"
    )


def _files(files: Iterable[FileEntry]) -> str:
    rows = "".join(
        f'<tr><th scope="row" class="break">{text(file.path)}</th><td>{text(spaced(file.role))}</td>'
        f'<td class="number">{file_size(file.size_bytes)}</td>'
        f'<td class="mono break">{text(file.sha256[:16])}…</td></tr>\n'
        for file in files
    )
    titles = head("File", "Role", "#Size", "SHA-256")
    return f"<table>\n<caption>Files with their digests</caption>\n{titles}\n<tbody>\n{rows}</tbody>\n</table>"
