"""Small glTF files written by hand, field by field, so that readers can be tested with odd but valid ones."""

import io
import json
import struct

import numpy as np
from PIL import Image

COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class GltfBuilder:
    """Collects buffer views and accessors; ``document`` is open for anything else."""

    def __init__(self):
        self.binary = bytearray()
        self.document = {
            "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": []}], "accessors": [], "bufferViews": [],
        }  # fmt: skip

    def view(self, data, stride=0):
        while len(self.binary) % 4:
            self.binary.append(0)
        entry = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        if stride:
            entry["byteStride"] = stride
        self.binary += data
        self.document["bufferViews"].append(entry)
        return len(self.document["bufferViews"]) - 1

    def accessor(self, values, normalized=False):
        values = np.asarray(values)
        rows = values.reshape(len(values), -1)
        entry = {
            "bufferView": self.view(np.ascontiguousarray(rows).tobytes()), "count": len(rows),
            "componentType": COMPONENTS[values.dtype.str[1:]], "type": TYPES[rows.shape[1]],
        }  # fmt: skip
        if normalized:
            entry["normalized"] = True
        return self.add("accessors", entry)

    def add(self, kind, entry):
        self.document.setdefault(kind, []).append(entry)
        return len(self.document[kind]) - 1

    def primitive(self, positions, faces=None, mesh=0, **more):
        entry = {"attributes": {"POSITION": self.accessor(np.asarray(positions, "<f4"))}}
        if faces is not None:
            entry["indices"] = self.accessor(np.asarray(faces, "<u2").reshape(-1))
        entry["attributes"] |= more.pop("attributes", {})
        entry |= more
        self.document["meshes"][mesh]["primitives"].append(entry)
        return entry

    def texture(self, pixels, **sampler):
        out = io.BytesIO()
        Image.fromarray(np.asarray(pixels, np.uint8)).save(out, "PNG")
        image = self.add("images", {"bufferView": self.view(out.getvalue()), "mimeType": "image/png"})
        return self.add("textures", {"source": image, "sampler": self.add("samplers", sampler)})

    def glb(self):
        self.document["buffers"] = [{"byteLength": len(self.binary)}, *self.document.get("buffers", [])[1:]]
        text = json.dumps(self.document).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + b"\0" * (-len(self.binary) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
