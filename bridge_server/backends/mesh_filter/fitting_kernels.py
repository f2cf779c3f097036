# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops that move the vertices of a light mesh by least squares, by Numba (see ``fitting``)."""

from typing import NamedTuple

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.walking_kernels import face_normals


class Pulls(NamedTuple):
    """What each sample wants of the place it belongs to: to move by ``residuals`` along ``directions``."""

    faces: np.ndarray
    shares: np.ndarray
    directions: np.ndarray
    residuals: np.ndarray
    weights: np.ndarray


@njit(cache=True, nogil=True)
def point_pulls(surface, points, normals, pulls, start, toward):
    """Fill rows from ``start``: from places on the surface to points, along the normal where a place is inside a face.

    Where it is on an edge or a corner, the gap itself is the direction.
    """
    for i in range(len(points)):
        row = start + i
        face = pulls.faces[row]
        a, b, c = surface.faces[face]
        s0, s1, s2 = pulls.shares[row]
        ex, ey, ez = points[i]
        ex -= s0 * surface.places[a, 0] + s1 * surface.places[b, 0] + s2 * surface.places[c, 0]
        ey -= s0 * surface.places[a, 1] + s1 * surface.places[b, 1] + s2 * surface.places[c, 1]
        ez -= s0 * surface.places[a, 2] + s1 * surface.places[b, 2] + s2 * surface.places[c, 2]
        length = np.sqrt(ex * ex + ey * ey + ez * ez)
        if length < 1e-12 or (toward and min(s0, s1, s2) > 1e-9):
            nx, ny, nz = normals[face]
            pulls.residuals[row] = nx * ex + ny * ey + nz * ez
        else:
            nx, ny, nz = ex / length, ey / length, ez / length
            pulls.residuals[row] = length
        pulls.directions[row, 0], pulls.directions[row, 1], pulls.directions[row, 2] = nx, ny, nz


@njit(cache=True, nogil=True)
def vertex_weights(surface, pulls, squared):
    """Sum of the weights around each vertex, by share or by its square."""
    result = np.zeros(len(surface.places))
    for i in range(len(pulls.faces)):
        for k in range(3):
            share = pulls.shares[i, k]
            result[surface.faces[pulls.faces[i], k]] += pulls.weights[i] * (share * share if squared else share)
    return result


@njit(cache=True, nogil=True)
def spread(surface, pulls, held, damping, moves, sign, result):
    """J^T W (J moves + sign * residuals) + damping * moves; J takes moves of vertices to moves along the directions."""
    for vertex in range(len(moves)):
        for k in range(3):
            result[vertex, k] = damping[vertex] * moves[vertex, k]
    for i in range(len(pulls.faces)):
        a, b, c = surface.faces[pulls.faces[i]]
        s0, s1, s2 = pulls.shares[i]
        nx, ny, nz = pulls.directions[i]
        along = sign * pulls.residuals[i]
        along += s0 * (nx * moves[a, 0] + ny * moves[a, 1] + nz * moves[a, 2])
        along += s1 * (nx * moves[b, 0] + ny * moves[b, 1] + nz * moves[b, 2])
        along += s2 * (nx * moves[c, 0] + ny * moves[c, 1] + nz * moves[c, 2])
        along *= pulls.weights[i]
        for vertex, share in ((a, s0), (b, s1), (c, s2)):
            result[vertex, 0] += along * share * nx
            result[vertex, 1] += along * share * ny
            result[vertex, 2] += along * share * nz
    for vertex in range(len(moves)):
        if held[vertex]:
            result[vertex, 0], result[vertex, 1], result[vertex, 2] = 0.0, 0.0, 0.0


@njit(cache=True, nogil=True)
def fitted_moves(surface, pulls, held, damping, rounds):
    """Moves of the vertices that follow the pulls best, by conjugate gradients with a diagonal preconditioner."""
    count = len(surface.places)
    moves, force = np.zeros((count, 3)), np.zeros((count, 3))
    scale = damping + vertex_weights(surface, pulls, True)
    spread(surface, pulls, held, damping, moves, -1.0, force)
    force = -force
    step, answer = np.zeros((count, 3)), np.zeros((count, 3))
    before = 1.0
    for turn in range(rounds):
        now = 0.0
        for vertex in range(count):
            for k in range(3):
                now += force[vertex, k] ** 2 / scale[vertex]
        if now <= 1e-30:
            break
        share = now / before if turn > 0 else 0.0
        for vertex in range(count):
            for k in range(3):
                step[vertex, k] = force[vertex, k] / scale[vertex] + share * step[vertex, k]
        spread(surface, pulls, held, damping, step, 0.0, answer)
        length = now / max((step * answer).sum(), 1e-300)
        moves += length * step
        force -= length * answer
        before = now
    return moves


@njit(cache=True, nogil=True)
def undo_turns(surface, opposite, rows, before, normals, least_cosine, least_fold):
    """Take moves back around faces that turned too far, or that fold on a neighbour and did not before.

    ``rows`` names the faces at vertices that moved.
    """
    fresh = normals.copy()
    for turn in range(8):
        for face in rows:
            face_normals(surface.places, surface.faces[face : face + 1], fresh[face : face + 1])
        turned = 0
        for face in rows:
            bad = (normals[face] ** 2).sum() > 0.0 and (fresh[face] * normals[face]).sum() < least_cosine
            for k in range(3):
                other = opposite[face, k]
                if other >= 0 and (fresh[face] * fresh[other]).sum() < least_fold:
                    bad = bad or (normals[face] * normals[other]).sum() >= least_fold
            if bad:
                turned += 1
                keep = 0.5 if turn < 3 else 0.0
                for k in range(3):
                    vertex = surface.faces[face, k]
                    for axis in range(3):
                        back = before[vertex, axis]
                        surface.places[vertex, axis] = back + keep * (surface.places[vertex, axis] - back)
        if turned == 0:
            break
