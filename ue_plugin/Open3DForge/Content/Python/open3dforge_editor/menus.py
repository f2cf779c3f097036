"""Menu entries: a tool-bar button, the Tools menu, and right-click actions in the content browser."""

from collections.abc import Callable

import unreal

from open3dforge_editor.actions import TAG, Actions
from unreal_scripts.asset_import.content import assets

OWNER = "Open3DForge"
SECTION = "Open3DForge"
TOOL_BAR = "LevelEditor.LevelEditorToolBar.User"
TOOLS = "LevelEditor.MainMenu.Tools"
TEXTURES = "ContentBrowser.AssetContextMenu.Texture2D"
STATIC_MESHES = "ContentBrowser.AssetContextMenu.StaticMesh"
SKELETAL_MESHES = "ContentBrowser.AssetContextMenu.SkeletalMesh"
FOLDERS = "ContentBrowser.FolderContextMenu"


@unreal.uclass()
class Open3DForgeMenuEntry(unreal.ToolMenuEntryScript):
    """A menu entry whose click and visibility are Python functions, kept beside it in ``Menus``."""

    @unreal.ufunction(override=True)
    def execute(self, context: unreal.ToolMenuContext) -> None:
        """On a click."""
        ENTRIES[str(self.data.name)].run(context)

    @unreal.ufunction(override=True)
    def is_visible(self, context: unreal.ToolMenuContext) -> bool:
        """When its menu opens."""
        return ENTRIES[str(self.data.name)].shown(context)


class Entry:
    """What one entry does and when it is shown."""

    def __init__(
        self,
        run: Callable[[unreal.ToolMenuContext], None],
        shown: Callable[[unreal.ToolMenuContext], bool] = lambda _context: True,
    ) -> None:
        self.run = run
        self.shown = shown


ENTRIES: dict[str, Entry] = {}
"""Entries by name: the editor makes the entry objects again from their class, so they cannot carry Python state."""


def register(actions: Actions, open_tab: Callable[[], None], *, without_tab: bool) -> None:
    """Add all entries; those ``without_tab`` stand in for the tab's buttons."""
    menus = unreal.ToolMenus.get()

    def add(menu: str, name: str, label: str, tip: str, entry: Entry) -> None:
        ENTRIES[name] = entry
        holder = menus.extend_menu(menu)
        holder.add_section(SECTION, "Open3DForge")
        item = unreal.new_object(Open3DForgeMenuEntry)
        item.init_entry(OWNER, menu, SECTION, name, label, tip)
        holder.add_menu_entry_object(item)

    add(TOOL_BAR, "O3FToolBar", "Open3DForge", "Open the Open3DForge tab", Entry(lambda _: open_tab()))
    add(TOOLS, "O3FTab", "Open3DForge", "Jobs, connection and settings", Entry(lambda _: open_tab()))
    add(
        TOOLS,
        "O3FSettings",
        "Open3DForge settings",
        "Server, token, defaults",
        Entry(lambda _: actions.edit_settings()),
    )
    for name, label, tip, work in (
        ("O3FForge", "Forge 3D asset from files", "Choose pictures or a mesh file", actions.new_request),
        ("O3FCancel", "Cancel the newest Open3DForge job", "Stop it wherever it is", actions.cancel_latest),
        ("O3FRetry", "Retry the newest Open3DForge job", "Go on from where it failed", actions.retry_latest),
        ("O3FImport", "Import the newest Open3DForge package", "Import it again", actions.import_latest),
    ):
        add(TOOLS, name, label, tip, Entry(lambda _, work=work: _ignore(work()), lambda _: without_tab))
    add(
        TEXTURES,
        "O3FTextures",
        "Forge 3D asset from image(s)",
        "Make a finished static mesh out of the selected pictures",
        Entry(lambda context: _ignore(actions.forge_textures(selected(context)))),
    )
    add(
        STATIC_MESHES,
        "O3FReforge",
        "Re-forge",
        "New LODs, collision and baked maps for this mesh",
        Entry(lambda context: _each(context, actions.reforge_mesh)),
    )
    add(
        FOLDERS,
        "O3FFolder",
        "Forge into here",
        "Forge an asset from files into this folder",
        Entry(lambda context: _ignore(actions.new_request(selected_folder(context)))),
    )
    for menu, suffix in ((STATIC_MESHES, "Static"), (SKELETAL_MESHES, "Skeletal")):
        add(
            menu,
            f"O3FAgain{suffix}",
            "Forge again with other settings",
            "Open the request that this asset came from",
            Entry(lambda context: _each(context, actions.forge_again), any_forged),
        )
        add(
            menu,
            f"O3FReport{suffix}",
            "Show report",
            "Open the report of the package that this asset came from",
            Entry(lambda context: _each(context, actions.show_report), any_forged),
        )
    menus.refresh_all_widgets()


def unregister() -> None:
    """Take all entries away again."""
    menus = unreal.ToolMenus.get()
    menus.unregister_owner_by_name(OWNER)
    menus.refresh_all_widgets()
    ENTRIES.clear()


def selected(context: unreal.ToolMenuContext) -> list[unreal.Object]:
    """The assets that the content browser's menu was opened on."""
    found = context.find_by_class(unreal.ContentBrowserAssetContextMenuContext)
    return list(found.load_selected_objects_if_needed()) if found is not None else []


def selected_folder(context: unreal.ToolMenuContext) -> str:
    """Content path of the folder that the menu was opened on; empty where there is none."""
    found = context.find_by_class(unreal.ContentBrowserDataMenuContext_FolderMenu)
    items = list(found.get_editor_property("selected_items")) if found is not None else []
    if not items:
        return ""
    virtual = str(items[0].get_virtual_path())
    return virtual.removeprefix("/All")


def any_forged(context: unreal.ToolMenuContext) -> bool:
    """Whether one of the assets was made by us. Looks at loaded tags only where the menu opens."""
    return any(assets().get_metadata_tag(asset, TAG + "Asset") for asset in selected(context))


def _each(context: unreal.ToolMenuContext, work: Callable[[unreal.Object], object]) -> None:
    for asset in selected(context):
        work(asset)


def _ignore(_job: object) -> None:
    return None
