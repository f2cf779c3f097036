"""Driving an import a step a tick, so that the editor goes on drawing and answering between steps."""

from collections.abc import Callable, Generator

import unreal

from unreal_scripts.asset_import.errors import ImportCancelled
from unreal_scripts.asset_import.importer import Progress


class TickedImport:
    """An import that runs in the Slate tick; every callback comes on the game thread."""

    def __init__(
        self,
        steps: Generator[Progress, None, None],
        on_progress: Callable[[float, str], None],
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        self._steps = steps
        self._on_progress = on_progress
        self._on_end = on_end
        self._handle: object | None = None
        self._cancelled = False

    def start(self) -> None:
        """Begin with the next tick."""
        self._handle = unreal.register_slate_post_tick_callback(self._tick)

    def cancel(self) -> None:
        """Stop and roll back at the next tick."""
        self._cancelled = True

    def stop(self) -> None:
        """End now, rolled back within this call and without a word to the owner: the editor is closing."""
        self._unregister()
        self._steps.close()

    def _tick(self, _seconds: float) -> None:
        try:
            if self._cancelled:
                self._steps.throw(ImportCancelled("The import was cancelled; nothing of it is left."))
            progress = next(self._steps)
        except StopIteration:
            self._end(None)
        except BaseException as error:  # noqa: BLE001 - handed to the owner, who reports it
            self._end(error)
        else:
            self._on_progress(progress.fraction, progress.title)

    def _end(self, error: BaseException | None) -> None:
        self._unregister()
        self._on_end(error)

    def _unregister(self) -> None:
        if self._handle is not None:
            unreal.unregister_slate_post_tick_callback(self._handle)
            self._handle = None
