"""Bakes inside Blender, one for each line on standard input. Run by the interpreter that has ``bpy``, not by ours.

Usage: ``python _blender_bake.py MESHES.npz``; lines are JSON with ``kind``, ``size``, ``samples`` and ``out``; the
answer to each is a line with the seconds that Blender's bake operator took, and those of all its threads together.
"""

import json
import os
import sys
import time

import bpy  # type: ignore[import-not-found]
import numpy as np


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Blender talks on standard output
    with np.load(sys.argv[1]) as data:
        meshes = dict(data)
    prepare(meshes)
    print(json.dumps({"version": bpy.app.version_string}), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        seconds, cpu_s, pixels = bake(order["kind"], order["size"], order["samples"])
        np.save(order["out"], pixels)
        print(json.dumps({"seconds": seconds, "cpu_s": cpu_s}), file=answers, flush=True)


def prepare(meshes: dict[str, np.ndarray]) -> None:
    """High poly, low poly with its own normals and UVs, Cycles on the processor."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.world = bpy.data.worlds.new("world")
    scene.world.light_settings.distance = float(meshes["reach_m"])
    high = added("high", meshes["high_positions"], meshes["high_faces"])
    low = added("low", meshes["low_positions"], meshes["low_faces"])
    layer = low.data.uv_layers.new(name="UVMap")
    upward = meshes["corner_uvs"].reshape(-1, 2) * [1, -1] + [0, 1]
    layer.data.foreach_set("uv", upward.astype(np.float32).ravel())
    low.data.normals_split_custom_set(meshes["corner_normals"].reshape(-1, 3).tolist())
    high.data.normals_split_custom_set(meshes["high_corner_normals"].reshape(-1, 3).tolist())
    glowing(high, meshes["high_colors"][meshes["high_faces"]].reshape(-1, 3))
    low.data.materials.append(bpy.data.materials.new("target"))
    low.data.materials[0].use_nodes = True
    settings = scene.render.bake
    settings.use_selected_to_active, settings.use_clear, settings.margin = True, True, 0
    cage = added("cage", meshes["cage_positions"], meshes["low_faces"])
    settings.use_cage, settings.cage_object = True, cage
    high.select_set(True)
    low.select_set(True)
    bpy.context.view_layer.objects.active = low


def glowing(high: object, colors: np.ndarray) -> None:
    """Give the high poly a material that gives off the colours of its corners, so that the bake of emission holds them.

    An attribute of the name ``color`` bakes black: Blender 4.5 does not hand it to the bake.
    """
    attribute = high.data.color_attributes.new("painted", "FLOAT_COLOR", "CORNER")
    padded = np.concatenate([colors, np.ones((len(colors), 1))], axis=1)
    attribute.data.foreach_set("color", padded.astype(np.float32).ravel())
    material = bpy.data.materials.new("colors")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    source, light = tree.nodes.new("ShaderNodeVertexColor"), tree.nodes.new("ShaderNodeEmission")
    source.layer_name = "painted"
    out = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(source.outputs["Color"], light.inputs["Color"])
    tree.links.new(light.outputs["Emission"], out.inputs["Surface"])
    high.data.materials.append(material)


def added(name: str, positions: np.ndarray, faces: np.ndarray) -> object:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(positions.tolist(), [], faces.tolist())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    made = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(made)
    return made


def bake(kind: str, size: int, samples: int) -> tuple[float, float, np.ndarray]:
    """Seconds of the operator alone, by the clock and of all threads, and the pixels with row 0 on top."""
    image = bpy.data.images.new("map", size, size, alpha=False, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"
    tree = bpy.context.view_layer.objects.active.data.materials[0].node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    tree.nodes.active = node
    bpy.context.scene.cycles.samples = samples
    start, spent = time.perf_counter(), time.process_time()
    bpy.ops.object.bake(type=kind)
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - spent
    pixels = np.empty(size * size * 4, np.float32)
    image.pixels.foreach_get(pixels)
    tree.nodes.remove(node)
    bpy.data.images.remove(image)
    return seconds, cpu_s, pixels.reshape(size, size, 4)[::-1, :, :3]


if __name__ == "__main__":
    main()
