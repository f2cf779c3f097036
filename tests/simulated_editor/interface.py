"""What the editor shows: menus, dialogs, tabs, ticks, slow tasks; and Python classes that the product declares."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulated_editor import unreal_module
from tests.simulated_editor.content import content
from tests.simulated_editor.unreal_module import CLOCK, UnrealObject, implements

TICK_S = 1.0 / 60.0


@dataclass
class Screen:
    """Everything that a person would see or click."""

    unattended: bool = False
    menus: dict[str, list[UnrealObject]] = field(default_factory=dict)
    sections: dict[str, set[str]] = field(default_factory=dict)
    ticks: dict[int, Callable[[float], None]] = field(default_factory=dict)
    tick_costs_s: list[tuple[str, float]] = field(default_factory=list)
    shutdown: list[Callable[[], None]] = field(default_factory=list)
    answers: list[dict[str, Any] | None] = field(default_factory=list)
    """What the person will answer to the next details dialogs; None cancels."""
    messages: list[str] = field(default_factory=list)
    """Texts of message boxes that a click asked for."""
    slow_tasks: list[str] = field(default_factory=list)
    cancel_slow_task: bool = False
    clicking: bool = False
    transactions: list[str] = field(default_factory=list)
    console: dict[str, str] = field(default_factory=dict)
    tab: UnrealObject | None = None
    next_handle: int = 1


SCREEN = Screen()


def tick() -> None:
    """One Slate tick: every callback once, the CPU time of the product's own code in all of them measured."""
    names, total = [], 0.0
    for callback in tuple(SCREEN.ticks.values()):
        started, engine_before = time.thread_time(), CLOCK.engine_s
        try:
            callback(TICK_S)
        finally:
            total += time.thread_time() - started - (CLOCK.engine_s - engine_before)
            names.append(getattr(callback, "__qualname__", repr(callback)))
    SCREEN.tick_costs_s.append((" + ".join(names), total))


@implements("register_slate_post_tick_callback")
def register_tick(callback: Callable[[float], None]) -> int:
    handle = SCREEN.next_handle
    SCREEN.next_handle += 1
    SCREEN.ticks[handle] = callback
    return handle


@implements("unregister_slate_post_tick_callback")
def unregister_tick(handle: int) -> None:
    SCREEN.ticks.pop(handle, None)


@implements("register_python_shutdown_callback")
def register_shutdown(callback: Callable[[], None]) -> object:
    SCREEN.shutdown.append(callback)
    return callback


# --- classes declared by the product ---------------------------------------------------------------------


class DeclaredProperty:
    """What ``unreal.uproperty`` leaves in a class body."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind


@implements("uclass")
def uclass() -> Callable[[type], type]:
    def declare(cls: type) -> type:
        declared = dict(cls.__dict__.get("__declared__", {}))
        for name, value in list(cls.__dict__.items()):
            if isinstance(value, DeclaredProperty):
                delattr(cls, name)
                declared[name] = [value.kind.__name__, "Read-Write"]
        cls.__declared__ = declared  # type: ignore[attr-defined]
        cls.__name__ = cls.__qualname__.rpartition(".")[2]
        return cls

    return declare


@implements("uproperty")
def uproperty(kind: Any, _meta: Any, _getter: Any, _setter: Any) -> DeclaredProperty:
    return DeclaredProperty(kind)


@implements("ufunction")
def ufunction(
    _meta: Any, _ret: Any, _params: Any, override: Any, _static: Any, _pure: Any, _getter: Any, _setter: Any
) -> Callable[[Any], Any]:
    def declare(function: Any) -> Any:
        function.__override__ = bool(override)
        return function

    return declare


@implements("new_object")
def new_object(kind: type, _outer: Any, _name: Any, _base_type: Any) -> Any:
    return kind()


# --- menus -----------------------------------------------------------------------------------------------


@implements("ToolMenus.get")
def get_menus(_cls: Any) -> UnrealObject:
    return unreal_module.MODULE[0].ToolMenus()


@implements("ToolMenus.extend_menu")
def extend_menu(_self: Any, name: str) -> UnrealObject:
    menu = unreal_module.MODULE[0].ToolMenu()
    menu._menu = str(name)
    return menu


@implements("ToolMenus.refresh_all_widgets")
def refresh_all_widgets(_self: Any) -> None:
    return None


@implements("ToolMenus.unregister_owner_by_name")
def unregister_owner(_self: Any, owner: str) -> None:
    for entries in SCREEN.menus.values():
        entries[:] = [entry for entry in entries if entry._entry["owner"] != str(owner)]


@implements("ToolMenu.add_section")
def add_section(self: UnrealObject, name: str, *_others: Any) -> None:
    SCREEN.sections.setdefault(self._menu, set()).add(str(name))


@implements("ToolMenu.add_menu_entry_object")
def add_menu_entry_object(self: UnrealObject, entry: UnrealObject) -> None:
    if entry._entry["section"] not in SCREEN.sections.get(self._menu, set()):
        content().log.append(("Warning", f"section {entry._entry['section']} is not in {self._menu}"))
    SCREEN.menus.setdefault(self._menu, []).append(entry)


@implements("ToolMenuEntryScript.init_entry")
def init_entry(self: UnrealObject, owner: str, menu: str, section: str, name: str, label: str, tip: str) -> None:
    self._entry = {"owner": str(owner), "menu": str(menu), "section": str(section), "name": str(name), "label": label}
    data = unreal_module.MODULE[0].ToolMenuEntryScriptData()
    data._values().update({"name": str(name), "label": label, "tool_tip": tip, "owner_name": str(owner)})
    self._values()["data"] = data


@implements("ToolMenuContext.find_by_class")
def find_by_class(self: UnrealObject, kind: type) -> Any:
    return next((item for item in self._objects if isinstance(item, kind)), None)


@implements("ContentBrowserAssetContextMenuContext.load_selected_objects_if_needed")
def load_selected(self: UnrealObject) -> list[UnrealObject]:
    return list(self._selected)


@implements("ContentBrowserItem.get_virtual_path")
def get_virtual_path(self: UnrealObject) -> str:
    return str(self._virtual)


def click(menu: str, label: str, asset_paths: list[str], folder: str = "") -> str:
    """Right-click, see whether the entry is there, and click it. Returns the labels that were visible."""
    module = unreal_module.MODULE[0]
    context = module.ToolMenuContext()
    browser = module.ContentBrowserAssetContextMenuContext()
    browser._selected = [content().get(path) for path in asset_paths]
    if None in browser._selected:
        raise LookupError(f"no such assets: {asset_paths}")
    context._objects = [browser]
    if folder:
        item, folders = module.ContentBrowserItem(), module.ContentBrowserDataMenuContext_FolderMenu()
        item._virtual = "/All" + folder
        folders._values()["selected_items"] = [item]
        context._objects.append(folders)
    visible = [entry for entry in SCREEN.menus.get(menu, []) if _shown(entry, context)]
    labels = [entry._entry["label"] for entry in visible]
    for entry in visible:
        if entry._entry["label"] == label:
            SCREEN.clicking = True
            try:
                entry.execute(context)
            finally:
                SCREEN.clicking = False
            return ", ".join(labels)
    raise LookupError(f"{menu} shows {labels}, not {label!r}")


def _shown(entry: UnrealObject, context: UnrealObject) -> bool:
    # A product class that does not override it inherits the surface's method, which means: visible.
    if "is_visible" in type(entry).__dict__:
        return bool(entry.is_visible(context))
    return True


# --- dialogs, slow tasks, transactions -------------------------------------------------------------------


@implements("EditorDialog.show_object_details_view")
def show_object_details_view(_cls: Any, title: str, form: UnrealObject, _options: Any) -> bool:
    if not SCREEN.answers:
        content().dialogs.append(f"details dialog: {title}")
        return False
    answer = SCREEN.answers.pop(0)
    if answer is None:
        return False
    module = unreal_module.MODULE[0]
    for name, value in answer.items():
        kind, _access = form._declaration(name)
        if kind in ("FilePath", "DirectoryPath"):
            made = getattr(module, kind)()
            made._values()["file_path" if kind == "FilePath" else "path"] = value
            form.set_editor_property(name, made)
        else:
            form.set_editor_property(name, value)
    return True


@implements("EditorDialog.show_message")
def show_message(_cls: Any, title: str, message: str, *_others: Any) -> Any:
    if not SCREEN.clicking:
        content().dialogs.append(f"message: {title}: {message}")
    SCREEN.messages.append(message)
    return unreal_module.MODULE[0].AppReturnType.OK


@implements("ScopedSlowTask.make_dialog")
def make_dialog(self: Any, _can_cancel: bool, *_others: Any) -> None:
    SCREEN.slow_tasks.append(self._title)


@implements("ScopedSlowTask.enter_progress_frame")
def enter_progress_frame(self: Any, _work: float, text: str) -> None:
    self._text = text


@implements("ScopedSlowTask.should_cancel")
def should_cancel(_self: Any) -> bool:
    return SCREEN.cancel_slow_task


@implements("SystemLibrary.is_unattended")
def is_unattended(_cls: Any) -> bool:
    return SCREEN.unattended


@implements("SystemLibrary.get_engine_version")
def get_engine_version(_cls: Any) -> str:
    return f"{unreal_module.MODULE[0].__version__}.0-0+++Simulated"


@implements("SystemLibrary.execute_console_command")
def execute_console_command(_cls: Any, _world: Any, command: str, _player: Any) -> None:
    from tests.simulated_editor.importing import LEGACY_FBX

    name, _, value = command.partition(" ")
    SCREEN.console[name] = value
    if name == "Interchange.FeatureFlags.Import.FBX":
        LEGACY_FBX["on"] = value.strip().lower() in ("false", "0")


def install_scopes(module: Any) -> None:
    """Constructors and context managers, which the surface lists without saying what they do."""

    def slow_init(self: Any, _work: float, title: str = "", enabled: bool = True) -> None:
        CLOCK.check_thread("ScopedSlowTask")
        self._title, self._text = str(title), ""

    def transaction_init(self: Any, title: str) -> None:
        CLOCK.check_thread("ScopedEditorTransaction")
        self._title = str(title)

    def enter(self: Any) -> Any:
        if type(self).__name__ == "ScopedEditorTransaction":
            SCREEN.transactions.append(self._title)
        return self

    def leave(self: Any, *_exception: Any) -> None:
        return None

    for cls, init in ((module.ScopedSlowTask, slow_init), (module.ScopedEditorTransaction, transaction_init)):
        cls.__init__, cls.__enter__, cls.__exit__ = init, enter, leave


# --- library calls of the plugin -------------------------------------------------------------------------


@implements("EditorUtilityLibrary.get_current_content_browser_path")
def current_path(_cls: Any) -> str | None:
    return None


@implements("Exporter.run_asset_export_task")
def run_asset_export_task(_cls: Any, task: UnrealObject) -> bool:
    values = task._values()
    source = values["object"]._data.get("source", "")
    if not source or not Path(source).is_file():
        values["errors"] = ["no source data"]
        return False
    Path(values["filename"]).write_bytes(Path(source).read_bytes())
    return True


@implements("AssetImportData.get_first_filename")
def get_first_filename(self: UnrealObject) -> str:
    return str(self.__dict__.get("_file", ""))


@implements("GLTFExporter.export_to_gltf")
def export_to_gltf(_cls: Any, asset: UnrealObject, path: str, _options: Any, _actors: Any) -> Any:
    source = os.environ.get("O3F_EXPORT_GLB", "")
    if source:
        Path(path).write_bytes(Path(source).read_bytes())
    return unreal_module.MODULE[0].GLTFExportMessages()


# --- the tab ---------------------------------------------------------------------------------------------


@implements("EditorUtilityLibrary.add_source_widget")
def add_source_widget(_cls: Any, blueprint: UnrealObject, kind: type, name: str, parent: str) -> UnrealObject | None:
    widgets = blueprint._data.setdefault("widgets", {})
    if str(name) in widgets or (parent and str(parent) not in widgets):
        return None
    widgets[str(name)] = {"class": kind.__name__, "parent": str(parent)}
    return kind()


@implements("BlueprintEditorLibrary.compile_blueprint")
def compile_blueprint(_cls: Any, blueprint: UnrealObject) -> None:
    blueprint._data["compiled"] = True


@implements("EditorUtilitySubsystem.spawn_and_register_tab")
def spawn_and_register_tab(_self: Any, blueprint: UnrealObject) -> UnrealObject:
    module = unreal_module.MODULE[0]
    if not blueprint._data.get("compiled"):
        raise AssertionError("the widget blueprint was not compiled")
    widget = module.EditorUtilityWidget()
    widget._children = {}
    for name, entry in blueprint._data["widgets"].items():
        child = getattr(module, entry["class"])()
        child._name = name
        widget._children[name] = child
    SCREEN.tab = widget
    return widget


@implements("EditorUtilityWidget.find_child_widget_by_name")
def find_child(self: UnrealObject, name: str) -> UnrealObject | None:
    return self._children.get(str(name))


@implements("TextBlock.set_text")
def set_text(self: UnrealObject, text: str) -> None:
    self._text = str(text)


@implements("ProgressBar.set_percent")
def set_percent(self: UnrealObject, percent: float) -> None:
    self._percent = percent


@implements("RenderingLibrary.import_file_as_texture2d")
def import_file_as_texture(_cls: Any, _world: Any, filename: str) -> UnrealObject | None:
    if not Path(filename).is_file():
        return None
    texture = unreal_module.MODULE[0].Texture2D()
    texture._data = {"file": filename}
    return texture


@implements("Image.set_brush_from_texture")
def set_brush_from_texture(self: UnrealObject, texture: UnrealObject, _match_size: bool) -> None:
    self._text = texture._data["file"]


@implements("Image.set_desired_size_override")
def set_desired_size(_self: UnrealObject, _size: UnrealObject) -> None:
    return None


class Delegate:
    """A multicast delegate that Python can bind to; like the editor's it keeps callables weakly in spirit."""

    def __init__(self) -> None:
        self.callables: list[Callable[[], None]] = []

    def add_callable(self, callback: Callable[[], None]) -> None:
        """Bind."""
        self.callables.append(callback)


unreal_module.DEFAULTS["Button", "on_clicked"] = lambda _module: Delegate()


def press(button: str) -> None:
    """Press a button of the tab."""
    if SCREEN.tab is None:
        raise LookupError("the tab is not open")
    delegate = SCREEN.tab._children[button]._read("on_clicked")
    SCREEN.clicking = True
    try:
        for callback in delegate.callables:
            callback()
    finally:
        SCREEN.clicking = False
