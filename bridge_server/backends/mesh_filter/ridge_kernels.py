# mypy: ignore-errors
"""Compiled loop that measures the ridges of a mesh, by Numba (see ``ridges``)."""

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.walking_kernels import face_across

LEAST_COSINE = -0.85
"""Faces that turn back on each other by more are a fold, and no ridge."""


@njit(cache=True, nogil=True)
def ridges_in_range(surface, normals, begin, end, result):
    """Length times angle of the edges of a range of faces that stick out, and have one face beyond."""
    places, faces = surface.places, surface.faces
    for face in range(begin, end):
        for k in range(3):
            u, v = faces[face, k], faces[face, (k + 1) % 3]
            beyond = face_across(surface, face, k)
            if beyond < 0:
                continue
            apex = faces[beyond, 0] + faces[beyond, 1] + faces[beyond, 2] - u - v
            height, cosine, square = 0.0, 0.0, 0.0
            for axis in range(3):
                height += (places[apex, axis] - places[u, axis]) * normals[face, axis]
                cosine += normals[face, axis] * normals[beyond, axis]
                square += (places[v, axis] - places[u, axis]) ** 2
            if height < 0.0 and cosine > LEAST_COSINE:
                result[face, k] = np.sqrt(square) * np.arccos(min(cosine, 1.0))
