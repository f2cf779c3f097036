"""The tab: an editor utility widget built from Python where the editor can do that, a plain dialog elsewhere."""

from pathlib import Path

import unreal

from open3dforge_editor import dialogs
from open3dforge_editor.actions import Actions
from open3dforge_editor.job_list import EditorJob
from unreal_scripts.asset_import.content import assets

FOLDER = "/Game/Open3DForge/Editor"
NAME = "EUW_Open3DForge"
LAYOUT_VERSION = "2"
"""Raised with every change of the widgets below; a tab that an older version built is built anew."""
LAYOUT_TAG = "Open3DForge.TabLayout"
THUMBNAIL_PX = 160.0
BUTTONS = (
    ("Forge", "Forge ..."),
    ("Cancel", "Cancel"),
    ("Retry", "Retry"),
    ("Import", "Import"),
    ("Report", "Report"),
    ("Test", "Test connection"),
    ("Settings", "Settings ..."),
)


class Panel:
    """Shows the connection and the jobs, and offers the actions."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._widget: unreal.EditorUtilityWidget | None = None
        self._shown_thumbnail: Path | None = None
        self._callbacks: list[object] = []
        """The editor holds delegates weakly: without these references the buttons would go dead."""
        actions.jobs.watchers.append(self._changed)
        actions.status_watchers.append(self.refresh)

    def open(self) -> None:
        """Show the tab, or the dialog where the editor cannot build one from Python (before 5.6)."""
        if not tab_possible():
            dialogs.tell("Open3DForge", self.text() + "\n\nTools > Open3DForge settings changes the server.")
            self._actions.test_connection(keep_status=True)  # for the next time
            return
        blueprint = self._blueprint()
        subsystem = unreal.get_editor_subsystem(unreal.EditorUtilitySubsystem)
        self._widget = subsystem.spawn_and_register_tab(blueprint)
        self._shown_thumbnail = None
        self._bind()
        self.refresh()
        self._actions.test_connection(keep_status=True)

    def text(self) -> str:
        """Connection and jobs in a few lines."""
        lines = [self._actions.status, ""]
        lines += [job.line() for job in self._actions.jobs.jobs[:10]] or [
            "No jobs yet. Right-click a texture, or press Forge."
        ]
        return "\n".join(lines)

    def refresh(self) -> None:
        """Write the newest state into the widget."""
        if self._widget is None:
            return
        status = self._widget.find_child_widget_by_name("Status")
        if status is not None:
            status.set_text(self.text())
        progress = self._widget.find_child_widget_by_name("Progress")
        running = next((job for job in self._actions.jobs.jobs if not job.phase.is_over), None)
        if progress is not None:
            progress.set_percent(running.fraction if running is not None else 0.0)
        self._show_thumbnail()

    def close(self) -> None:
        """Forget the widget and its callbacks."""
        if self._changed in self._actions.jobs.watchers:
            self._actions.jobs.watchers.remove(self._changed)
        if self.refresh in self._actions.status_watchers:
            self._actions.status_watchers.remove(self.refresh)
        self._callbacks.clear()
        self._shown_thumbnail = None
        self._widget = None

    def _show_thumbnail(self) -> None:
        """The picture of the newest job that has one."""
        newest = next((job.thumbnail for job in self._actions.jobs.jobs if job.thumbnail is not None), None)
        image = self._widget.find_child_widget_by_name("Thumbnail")
        if newest is None or newest == self._shown_thumbnail or image is None:
            return
        world = unreal.get_editor_subsystem(unreal.UnrealEditorSubsystem).get_editor_world()
        texture = unreal.RenderingLibrary.import_file_as_texture2d(world, str(newest))
        if texture is not None:
            image.set_brush_from_texture(texture, False)
            image.set_desired_size_override(unreal.Vector2D(THUMBNAIL_PX, THUMBNAIL_PX))
            self._shown_thumbnail = newest

    def _changed(self, _job: EditorJob) -> None:
        self.refresh()

    def _blueprint(self) -> unreal.EditorUtilityWidgetBlueprint:
        path = f"{FOLDER}/{NAME}"
        if assets().does_asset_exist(path):
            existing = assets().load_asset(path)
            if assets().get_metadata_tag(existing, LAYOUT_TAG) == LAYOUT_VERSION:
                return existing
            assets().delete_asset(path)
        factory = unreal.EditorUtilityWidgetBlueprintFactory()
        blueprint = unreal.AssetToolsHelpers.get_asset_tools().create_asset(
            NAME, FOLDER, unreal.EditorUtilityWidgetBlueprint, factory
        )
        library = unreal.EditorUtilityLibrary
        library.add_source_widget(blueprint, unreal.VerticalBox, "Root", "")
        library.add_source_widget(blueprint, unreal.TextBlock, "Status", "Root")
        library.add_source_widget(blueprint, unreal.ProgressBar, "Progress", "Root")
        library.add_source_widget(blueprint, unreal.Image, "Thumbnail", "Root")
        library.add_source_widget(blueprint, unreal.HorizontalBox, "Buttons", "Root")
        for name, _label in BUTTONS:
            library.add_source_widget(blueprint, unreal.Button, f"{name}Button", "Buttons")
            library.add_source_widget(blueprint, unreal.TextBlock, f"{name}Label", f"{name}Button")
        unreal.BlueprintEditorLibrary.compile_blueprint(blueprint)
        assets().set_metadata_tag(blueprint, LAYOUT_TAG, LAYOUT_VERSION)
        assets().save_loaded_asset(blueprint, only_if_is_dirty=False)
        return blueprint

    def _bind(self) -> None:
        actions = self._actions
        work = {
            "Forge": actions.new_request,
            "Cancel": actions.cancel_latest,
            "Retry": actions.retry_latest,
            "Import": actions.import_latest,
            "Report": actions.report_latest,
            "Test": actions.test_connection,
            "Settings": actions.edit_settings,
        }
        self._callbacks.clear()
        for name, label in BUTTONS:
            text = self._widget.find_child_widget_by_name(f"{name}Label")
            if text is not None:
                text.set_text(label)
            button = self._widget.find_child_widget_by_name(f"{name}Button")
            if button is not None:
                self._callbacks.append(work[name])
                button.get_editor_property("on_clicked").add_callable(work[name])


def tab_possible() -> bool:
    """Whether this editor can build a tab from Python."""
    return hasattr(unreal.EditorUtilityLibrary, "add_source_widget")
