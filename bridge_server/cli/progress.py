"""How a job's events look while somebody waits: bars on a terminal, plain lines in a log, JSON lines for machines."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from open3dforge.v1 import jobs_pb2

from bridge_server.cli import output
from bridge_server.cli.documents import document, enum_word

LINE_EVERY = 0.25
"""Plain lines tell a stage's progress at most every quarter of it."""


class View(Protocol):
    """Shows what happens to one job."""

    def event(self, event: jobs_pb2.JobEvent) -> None:
        """Take the next event."""

    def transfer(self, name: str, done: int, size: int) -> None:
        """A file on its way: bytes done of all."""


def open_view(*, as_json: bool) -> AbstractContextManager[View]:
    """The view that suits where the output goes."""
    if as_json:
        return _plain(_JsonLines())
    return _bars() if sys.stderr.isatty() else _plain(_Lines())


@contextmanager
def _plain(view: View) -> Iterator[View]:
    yield view


class _JsonLines:
    """Every event as a JSON document on a line of its own."""

    def event(self, event: jobs_pb2.JobEvent) -> None:
        output.emit({"event": document(event)})

    def transfer(self, name: str, done: int, size: int) -> None:
        """Transfers are no events of the job."""


class _Lines:
    """A line when a stage begins to matter or ends, for logs."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}

    def event(self, event: jobs_pb2.JobEvent) -> None:
        kind = event.WhichOneof("kind")
        if kind == "stage_progressed":
            self._progressed(event.stage_progressed)
        elif kind == "stage_finished":
            output.remark(f"  {finished_line(event.stage_finished)}")
        elif kind == "notice":
            output.remark(f"  {notice_line(event.notice)}")
        elif kind == "job_resumed":
            output.remark(f"  {event.job_resumed.message}")
        elif kind == "state_changed":
            output.remark(f"  job {enum_word(event.state_changed, 'state')}")

    def _progressed(self, progress: jobs_pb2.StageProgressed) -> None:
        if progress.fraction < self._next.get(progress.stage, LINE_EVERY) or progress.fraction >= 1.0:
            return
        self._next[progress.stage] = progress.fraction + LINE_EVERY
        note = f" {progress.note}" if progress.note else ""
        output.remark(f"  {progress.stage} {progress.fraction:.0%}{note}")

    def transfer(self, name: str, done: int, size: int) -> None:
        """Transfers are quick beside the stages; a log does not need them."""


@contextmanager
def _bars() -> Iterator[View]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        yield _Bars(progress)


class _Bars:
    """One bar a stage; bars of files vanish when they are full."""

    def __init__(self, progress: "object") -> None:
        from rich.progress import Progress, TaskID

        assert isinstance(progress, Progress)
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def event(self, event: jobs_pb2.JobEvent) -> None:
        kind = event.WhichOneof("kind")
        if kind == "stage_started":
            self._update(event.stage_started.stage, 0.0, "")
        elif kind == "stage_progressed":
            progress = event.stage_progressed
            self._update(progress.stage, progress.fraction, progress.note)
        elif kind == "stage_finished":
            finished = event.stage_finished
            self._update(finished.stage, 1.0, "from the store" if finished.cached else f"{finished.seconds:.1f} s")
            self._progress.stop_task(self._tasks[finished.stage])
        elif kind == "notice":
            self._progress.console.print(notice_line(event.notice), markup=False, highlight=False)
        elif kind == "job_resumed":
            self._progress.console.print(event.job_resumed.message, markup=False, highlight=False)

    def transfer(self, name: str, done: int, size: int) -> None:
        self._update(name, done / max(size, 1), output.megabytes(size))
        if done >= size:
            self._progress.remove_task(self._tasks.pop(name))

    def _update(self, name: str, fraction: float, note: str) -> None:
        from rich.markup import escape

        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(escape(name), total=1.0, note="")
        self._progress.update(self._tasks[name], completed=fraction, note=escape(note))


def finished_line(finished: jobs_pb2.StageFinished) -> str:
    """A finished stage with its time."""
    return f"{finished.stage} done, {'from the store' if finished.cached else f'{finished.seconds:.1f} s'}"


def notice_line(notice: jobs_pb2.Notice) -> str:
    """A notice for people."""
    stage = f"{notice.stage}: " if notice.stage else ""
    return notice_text(enum_word(notice, "severity"), f"{stage}{notice.message}", notice.remedy)


def notice_text(severity: str, message: str, remedy: str) -> str:
    """The line of a notice."""
    return f"{severity}: {message} {remedy}".rstrip()
