"""A hub of the Hugging Face kind that serves a local folder, for the hub's own client."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REVISION = "a" * 40


class FakeHub:
    """Repositories are the folders ``owner/name`` below ``root``; safetensors count as large files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.gated: set[str] = set()
        self.hidden = False
        """Gated repositories are not even described."""
        self.requests: list[str] = []
        """``METHOD path range`` of every request."""
        self.breaks_after: int | None = None
        """The next transfer of a large file ends after so many bytes."""
        self.lies = False
        """Large files arrive with their first byte changed."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def entry(self, repository: str, path: Path) -> dict[str, object]:
        content = path.read_bytes()
        found: dict[str, object] = {"rfilename": path.relative_to(self.root / repository).as_posix()}
        found |= {"size": len(content), "blobId": git_name(content)}
        if path.suffix == ".safetensors":
            found["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return found


def git_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving(root: Path) -> Iterator[FakeHub]:
    hub = FakeHub(root)
    # Usually it looks for its end every half second, which would be most of a test.
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()


def handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
            path = self.path.partition("?")[0].strip("/")
            if path.startswith("api/models/"):
                asked = "/".join(path.split("/")[2:4])
                if hub.hidden and asked in hub.gated:
                    self.refuse(403, "GatedRepo")
                else:
                    self.describe(asked)
                return
            repository, _, rest = path.partition("/resolve/")
            file = hub.root / repository / rest.partition("/")[2]
            if repository in hub.gated:
                self.refuse(403, "GatedRepo")
            elif not file.is_file():
                self.refuse(404, "EntryNotFound")
            else:
                self.send_file(file, body=body)

        def describe(self, repository: str) -> None:
            files = sorted(path for path in (hub.root / repository).rglob("*") if path.is_file())
            found = {"id": repository, "sha": REVISION, "siblings": [hub.entry(repository, path) for path in files]}
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send_file(self, file: Path, *, body: bool) -> None:
            content = file.read_bytes()
            large = file.suffix == ".safetensors"
            name = hashlib.sha256(content).hexdigest() if large else git_name(content)
            if large and hub.lies:
                content = b"?" + content[1:]
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            part = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("ETag", f'"{name}"')
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("Accept-Ranges", "bytes")
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if not body:
                return
            if large and hub.breaks_after is not None:
                part, hub.breaks_after = part[: hub.breaks_after], None
                self.wfile.write(part)
                self.close_connection = True
                return
            self.wfile.write(part)

    return Handler
