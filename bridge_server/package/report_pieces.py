"""Pieces of the report's HTML: safe text, table heads, bars, pictures as data URIs, figures with units."""

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

WORDS = {"pass": "Pass", "warn": "Warning", "fail": "Fail", "skipped": "Skipped"}


def head(*titles: str) -> str:
    """Header row; a title that starts with # stands over numbers."""
    cells = "".join(
        f'<th scope="col" class="number">{title[1:]}</th>' if title.startswith("#") else f'<th scope="col">{title}</th>'
        for title in titles
    )
    return f"<thead><tr>{cells}</tr></thead>"


def track(share: float, *, cached: bool = False) -> str:
    """A bar; the figure itself stands beside it as text."""
    kind = ' class="cached"' if cached else ""
    return f'<span class="track" aria-hidden="true"><span{kind} style="width:{share:.1%}"></span></span>'


def pill(verdict: str) -> str:
    """Verdict in a word, coloured."""
    known = verdict if verdict in WORDS else "skipped"
    return f'<span class="pill {known}">{text(WORDS.get(verdict, verdict))}</span>'


def shrunk(data: bytes, size_px: int) -> str:
    """A picture as a data URI, at most ``size_px`` wide, in WebP."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        picture = image.convert("RGB")
        picture.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
        picture.save(buffer, "WEBP", quality=86, method=4)
    return data_uri("image/webp", buffer.getvalue())


def data_uri(kind: str, data: bytes) -> str:
    """Bytes inside a link."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def text(value: str) -> str:
    """Any text, made safe for HTML."""
    return escape(value, quote=True)


def spaced(name: str) -> str:
    """A name of the code as words."""
    return name.replace("_", " ")


def counted(things: Sequence[object], noun: str) -> str:
    """How many of what."""
    return f"{len(things)} {noun}" if len(things) == 1 else f"{len(things)} {noun}s"


def listed(titles: Sequence[str]) -> str:
    """The first three of many titles, safe for HTML."""
    shown = ", ".join(text(title) for title in titles[:3])
    return f"{shown} and {len(titles) - 3} more" if len(titles) > 3 else shown


def day(created: str) -> str:
    """ISO time as people read it."""
    return created.replace("T", " ").removesuffix("Z") + " UTC"


def seconds(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds >= 60.0:
        return f"{int(seconds // 60)} min {seconds % 60:.0f} s"
    return f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds * 1000:.0f} ms"


def file_size(count: int) -> str:
    """A size in the unit that suits it."""
    if count >= 1_000_000:
        return f"{count / 1_000_000:.1f} MB"
    return f"{count / 1000:.0f} kB" if count >= 1000 else f"{count} bytes"
