"""Smart UV Project inside Blender, for one mesh after the other. Run by the interpreter that has ``bpy``, not by ours.

Usage: ``python _blender_unwrap.py``; each line on standard input is JSON with ``mesh`` (NPZ with ``positions`` and
``faces``), ``margin`` (share of the square) and ``out``; the answer is a line with the processor time of unwrapping
and packing, in seconds. ``out`` becomes an NPY of the UVs at the corners, (faces, 3, 2).
"""

import json
import math
import os
import sys
import time

import bpy  # type: ignore[import-not-found]
import numpy as np


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Blender talks on standard output
    bpy.ops.wm.read_factory_settings(use_empty=True)
    print(json.dumps({"version": bpy.app.version_string}), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        with np.load(order["mesh"]) as data:
            seconds, uvs = unwrapped(data["positions"], data["faces"], order["margin"])
        np.save(order["out"], uvs)
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)


def unwrapped(positions: np.ndarray, faces: np.ndarray, margin: float) -> tuple[float, np.ndarray]:
    """Default angle limit, islands scaled to the bounds, packed with the margin."""
    mesh = bpy.data.meshes.new("mesh")
    mesh.from_pydata(positions.tolist(), [], faces.tolist())
    thing = bpy.data.objects.new("mesh", mesh)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = thing
    thing.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    start = time.process_time()
    bpy.ops.uv.smart_project(
        angle_limit=math.radians(66.0), island_margin=margin, margin_method="FRACTION", scale_to_bounds=False
    )
    seconds = time.process_time() - start
    bpy.ops.object.mode_set(mode="OBJECT")
    uvs = np.empty(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers.active.data.foreach_get("uv", uvs)
    bpy.data.objects.remove(thing)
    bpy.data.meshes.remove(mesh)
    return seconds, uvs.reshape(-1, 3, 2)


if __name__ == "__main__":
    main()
