"""In the editor (Tools > Execute Python Script): pictures of the selected actors, and the command that forges them.

The plugin brings ``unreal_scripts``; without it, add the checkout to the project's Additional Python Paths.
"""

from pathlib import Path

import unreal

from unreal_scripts.capture import capture_selected

saved = Path(unreal.Paths.convert_relative_path_to_full(unreal.Paths.project_saved_dir()))
front, *others = capture_selected(saved / "Open3DForge" / "captures")
views = " ".join(f'--view {shot.view}="{shot.path}"' for shot in others)
unreal.log(f'./forge submit "{front.path}" {views} --name Captured --import /Game/Props')
