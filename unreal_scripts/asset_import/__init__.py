"""Import of a finished package into the content browser. Runs inside an Unreal Editor; needs nothing but it.

The contract is a folder with ``asset_manifest.json`` (schema ``open3dforge.asset_manifest.v1``) beside its files.
``import_asset`` does everything at once; ``import_steps`` does the same a step at a time, for a caller that must
not hold the editor up.
"""

from unreal_scripts.asset_import.errors import ImportRefused
from unreal_scripts.asset_import.importer import ImportOptions, Progress, import_asset, import_steps
from unreal_scripts.asset_import.result import Finding, ImportResult

__all__ = ["Finding", "ImportOptions", "ImportRefused", "ImportResult", "Progress", "import_asset", "import_steps"]
