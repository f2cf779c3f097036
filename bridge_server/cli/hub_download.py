"""Fetching models that consist of repositories of the Hugging Face hub, with the hub's own client.

What will be fetched is shown before, with licence and size. A download that was interrupted goes on where it stopped;
every file is compared with the digest that the hub names for it and recorded, so that it can be verified again later.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge_server.backends import hub_weights
from bridge_server.backends.hub_weights import HubModel, HubRepository, PulledFile
from bridge_server.backends.weights import file_sha256
from bridge_server.errors import (
    AccessDenied,
    BackendUnavailable,
    ConnectionFailed,
    DiskFull,
    ForgeError,
    InputError,
    StoreError,
)

Say = Callable[[str], None]
RESERVE_BYTES = 256 << 20
BY_HAND = "by hand"
"""Recorded in place of a revision."""


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """One file as the hub has it now."""

    size_bytes: int
    digest: str
    """SHA-256 of a large file, git's object name of a small one."""

    def fits(self, path: Path) -> bool:
        """Whether a file on disk is this one; reads it."""
        if not path.is_file() or path.stat().st_size != self.size_bytes:
            return False
        if len(self.digest) == 64:
            return file_sha256(path) == self.digest
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == self.digest


UNKNOWN = OfferedFile(0, "")
"""What a part that the hub does not even describe is made of."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One repository as the hub has it now."""

    part: HubRepository
    revision: str
    files: Mapping[str, OfferedFile]

    def missing(self, folder: Path) -> list[str]:
        """Files that are not yet below the folder in the size and revision of the offer."""
        record = hub_weights.read_record(folder)
        return [name for name, offered in self.files.items() if not self._there(folder, record, name, offered)]

    def _there(self, folder: Path, record: Mapping[str, PulledFile], name: str, offered: OfferedFile) -> bool:
        full = f"{self.part.repository}/{name}"
        known, path = record.get(full), folder / full
        if known is None or not path.is_file() or path.stat().st_size != known.size_bytes:
            return False
        return offered is UNKNOWN or known.revision == self.revision or known.sha256 == offered.digest


def ask(model: HubModel) -> list[Offer]:
    """What the hub has of every part. Raises ``ConnectionFailed``, or ``InputError`` where a file is gone."""
    _need_client(model)
    from huggingface_hub import HfApi

    offers = []
    for part in model.parts:
        try:
            with _errors_told(model, part):
                found = HfApi().model_info(part.repository, files_metadata=True)
        except AccessDenied:
            offers.append(Offer(part, "main", dict.fromkeys(part.files, UNKNOWN)))
            continue
        there = {each.rfilename: each for each in found.siblings or []}
        gone = [name for name in part.files if name not in there]
        if gone:
            message = f"{part.repository} no longer holds {', '.join(gone)}."
            raise InputError(message, subject=f"weights {model.name!r}", remedy="Update Open3DForge, or report this.")
        files = {}
        for name in part.files:
            entry = there[name]
            files[name] = OfferedFile(int(entry.size or 0), entry.lfs.sha256 if entry.lfs else str(entry.blob_id))
        offers.append(Offer(part, str(found.sha), files))
    return offers


def describe(model: HubModel, offers: list[Offer], say: Say) -> int:
    """Tell what would be fetched, from where, under which licence; returns the bytes that are still to come."""
    total = 0
    for offer in offers:
        missing = offer.missing(model.folder)
        whole = sum(each.size_bytes for each in offer.files.values()) or offer.part.nominal_bytes
        rest = sum(offer.files[name].size_bytes for name in missing) or (whole if missing else 0)
        total += rest
        say(f"{offer.part.page}")
        say(f"  licence: {offer.part.licence}")
        say(f"  size: {whole / 1e9:.2f} GB" + ("" if rest == whole else f", of which {rest / 1e9:.2f} GB are missing"))
        if offer.part.gated:
            say("  gated: accept the licence on that page first, then run hf auth login or set HF_TOKEN")
    say(f"to fetch: {total / 1e9:.2f} GB, into {model.folder}")
    return total


def fetch(model: HubModel, offers: list[Offer], say: Say) -> None:
    """Bring every missing file, verify and record it.

    A part that the hub refuses does not keep the others from coming; then ``AccessDenied`` says what to do by hand.
    Raises ``DiskFull``, ``ConnectionFailed``, or ``InputError`` where a file arrived with the wrong digest.
    """
    wanted = sum(offer.files[name].size_bytes for offer in offers for name in offer.missing(model.folder))
    _need_room(model, wanted)
    refused: AccessDenied | None = None
    for offer in offers:
        for name in offer.missing(model.folder):
            try:
                _fetch_file(model, offer, name, say)
            except AccessDenied as error:
                refused = error
                say(f"{offer.part.repository} was refused; going on with the rest")
                break
    if refused is not None:
        raise refused


def take(model: HubModel, source: Path, say: Say) -> None:
    """Bring files from a folder of the user's: laid out as ``owner/name/file``, or one repository's own folder."""
    taken = 0
    record = hub_weights.read_record(model.folder)
    for part in model.parts:
        for name in part.files:
            full = f"{part.repository}/{name}"
            found = next((path for path in (source / full, source / name) if path.is_file()), None)
            if found is None:
                continue
            target = model.folder / full
            with _errors_told(model, part):
                _link_or_copy(found, target)
                record[full] = PulledFile(file_sha256(target), target.stat().st_size, BY_HAND)
                hub_weights.write_record(model.folder, record)
            say(f"{full}: taken")
            taken += 1
    if not taken:
        remedy = f"Expected for example {model.files[0]} or {model.parts[0].files[0]} in it."
        raise InputError("holds none of the files.", subject=str(source), remedy=remedy)
    for full in model.files:
        if not (model.folder / full).is_file():
            say(f"{full}: still missing")


def _fetch_file(model: HubModel, offer: Offer, name: str, say: Say) -> None:
    offered = offer.files[name]
    full = f"{offer.part.repository}/{name}"
    target = model.folder / full
    if not offered.fits(target):
        say(f"{full} ({offered.size_bytes / 1e6:.0f} MB)")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{offered.digest[:12]}.partial")
        with _errors_told(model, offer.part):
            _transfer(offer, name, partial)
        if not offered.fits(partial):
            partial.unlink(missing_ok=True)
            message = f"{full} arrived with another size or digest than the hub names; it was thrown away."
            raise InputError(message, subject=f"weights {model.name!r}", remedy=_again(model))
        partial.replace(target)
    digest = offered.digest if len(offered.digest) == 64 else file_sha256(target)
    record = hub_weights.read_record(model.folder)
    record[full] = PulledFile(digest, offered.size_bytes, offer.revision)
    hub_weights.write_record(model.folder, record)


def _transfer(offer: Offer, name: str, partial: Path) -> None:
    """Append what is still missing of a file; one that is too long already starts anew.

    The client's own ``hf_hub_download`` starts a file again after an interruption, so its part that takes an offset is
    used.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    wanted = offer.files[name].size_bytes
    there = partial.stat().st_size if partial.is_file() else 0
    if there > wanted:
        partial.unlink()
        there = 0
    if there == wanted and wanted:
        return
    url = hf_hub_url(offer.part.repository, name, revision=offer.revision)
    with partial.open("ab") as stream:
        http_get(url, stream, resume_size=there, headers=build_hf_headers(), expected_size=wanted or None)


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(source):
        return
    temporary = target.with_name(f"{target.name}.partial")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)


def _need_client(model: HubModel) -> None:
    import importlib.util

    if importlib.util.find_spec("huggingface_hub") is None:
        remedy = "Run .venv/bin/pip install -e '.[trellis2]' -c constraints.txt and the same again."
        raise BackendUnavailable("huggingface_hub is not installed.", subject=f"weights {model.name!r}", remedy=remedy)


def _need_room(model: HubModel, wanted: int) -> None:
    model.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(model.folder).free
    if free < wanted + RESERVE_BYTES:
        message = f"needs {(wanted + RESERVE_BYTES) / 1e9:.1f} GB in {model.folder}, and {free / 1e9:.1f} GB are free."
        remedy = "Free some space, or name another folder in OPEN3DFORGE_HOME, and run the same again."
        raise DiskFull(message, subject=f"weights {model.name!r}", remedy=remedy)


@contextmanager
def _errors_told(model: HubModel, part: HubRepository) -> Iterator[None]:
    """Translate what the hub's client raises."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    subject = f"weights {model.name!r}"
    try:
        yield
    except ForgeError:
        raise
    except GatedRepoError as error:
        raise AccessDenied(
            f"{part.page} hands its files only to accounts that accepted its licence.",
            subject=subject,
            remedy=(
                f"Accept it there with your account, run .venv/bin/hf auth login or set HF_TOKEN, then {_again(model)} "
                f"Or fetch {' and '.join(part.files)} in the browser into one folder, and run "
                f"./forge models pull {model.name} --from FOLDER."
            ),
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConnectionFailed(f"{part.page}: {first}", subject=subject, remedy=_again(model)) from error
    except OSError as error:
        if _is_network(error):
            raise ConnectionFailed(f"{part.page}: {error}", subject=subject, remedy=_again(model)) from error
        remedy = f"Make {model.folder} writable, or name another folder in OPEN3DFORGE_HOME."
        raise StoreError(f"cannot be stored: {error}.", subject=subject, remedy=remedy) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"httpx", "httpx2", "httpcore", "httpcore2", "requests"}:
            raise
        raise ConnectionFailed(f"{part.page}: {error}", subject=subject, remedy=_again(model)) from error


def _is_network(error: OSError) -> bool:
    return isinstance(error, ConnectionError | TimeoutError)


def _again(model: HubModel) -> str:
    return f"run ./forge models pull {model.name} again; it goes on where it stopped."
