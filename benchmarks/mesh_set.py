"""What is in the set of meshes that geometry is measured on, and what does each look like?

``./forge bench mesh_set`` prints a table and draws ``benchmarks/results/mesh_set.png``, one cell a mesh in the order
of the table.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.meshes import MESHES
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.render_subject import field_subject
from bridge_server.stages.render_view import prepare_view, render_view
from bridge_server.values.mesh import HighPoly, edge_face_counts, volume_m3
from bridge_server.values.placement import Pivot, Placement

SHEET = Path(__file__).parent / "results" / "mesh_set.png"
CELL_PX, COLUMNS = 160, 7
AS_IT_IS = Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER, height_cm=100.0)


def picture(high_poly: HighPoly, size_px: int) -> np.ndarray:
    """The mesh with its own colours, from the front left and a little above."""
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    view = prepare_view(
        field_subject(raycaster, high_poly, AS_IT_IS), azimuth_deg=35.0, elevation_deg=18.0, size_px=size_px
    )
    return render_view(SilentRun(), view)


def main() -> None:
    """Print the table, write the sheet."""
    cells = []
    print(f"{'mesh':20s} {'kind':16s} {'triangles':>10s} {'border':>7s} {'bad edges':>9s} {'volume':>10s}  expected")
    for mesh in MESHES:
        high_poly = mesh.load()
        edges = edge_face_counts(high_poly.mesh.faces)
        wanted = [name for name in ("closed", "inner_hull", "hollow") if getattr(mesh.expectations, name)]
        print(
            f"{mesh.name:20s} {mesh.kind:16s} {len(high_poly.mesh.faces):10,} {int((edges == 1).sum()):7,}"
            f" {int((edges > 2).sum()):9,} {volume_m3(high_poly.mesh):10.6f}  {', '.join(wanted)}"
        )
        cells.append(picture(high_poly, CELL_PX))
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % COLUMNS)
    rows = [np.concatenate(cells[start : start + COLUMNS], axis=1) for start in range(0, len(cells), COLUMNS)]
    Image.fromarray(np.concatenate(rows)).save(SHEET, optimize=True)
    print(f"drawn: {SHEET}")


if __name__ == "__main__":
    main()
