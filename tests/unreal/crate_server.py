"""A server whose forging sleeps and then delivers the golden package: everything else of it is real.

``python -m tests.unreal.crate_server DATA PORT [TOKEN]``. Overrides steer a job: ``export.seconds=2`` a stage,
``export.fail=1`` on the first run.
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bridge_server.errors import StageFailed
from bridge_server.jobs.desk import Admission
from bridge_server.jobs.events import Happening, StageFinished, StageStarted
from bridge_server.jobs.job import InputFile, JobSpec, Outcome
from bridge_server.jobs.scheduler import Assignment
from bridge_server.pipeline.preset_library import default_library
from bridge_server.service.server import serve_forever
from bridge_server.settings import load_settings
from bridge_server.values.checklist import Check, Checklist, Verdict
from bridge_server.values.naming import check_asset_name
from tests.service.toy import sleep

GOLDEN = Path(__file__).parents[2] / "unreal_scripts" / "golden_package"
STAGES = ("generate", "export")


@dataclass(frozen=True)
class CrateWorkshop:
    """Whatever is asked for, a crate comes out."""

    def admit(self, spec: JobSpec, inputs: tuple[InputFile, ...], folder: Path) -> Admission:
        default_library().load(spec.preset)
        views = ",".join(sorted(f"{photo.view}" for photo in spec.photos))
        (folder / "views.txt").write_text(views or f"mesh {inputs[0].file_name}")
        return Admission(
            asset_name=check_asset_name(spec.asset_name), asset_type="static_mesh", preset=spec.preset, stages=STAGES
        )

    def work(self, assignment: Assignment, on_event: Callable[[Happening], None], cancel: threading.Event) -> Outcome:
        wishes = dict(text.partition("=")[::2] for text in assignment.job.spec.overrides)
        folder = assignment.folder
        for index, stage in enumerate(STAGES):
            if (folder / f"finished-{stage}").exists():
                on_event(StageFinished(stage=stage, seconds=0.0, cached=True))
                continue
            on_event(StageStarted(stage=stage, index=index, count=len(STAGES)))
            started = time.monotonic()
            sleep(float(wishes.get("export.seconds", "0")), stage, on_event, cancel)
            if "export.fail" in wishes and not (folder / "failed").exists():
                (folder / "failed").touch()
                raise StageFailed("the crate broke.", subject="export", remedy="Glue it and retry.")
            (folder / f"finished-{stage}").touch()
            on_event(StageFinished(stage=stage, seconds=time.monotonic() - started))
        name = f"export_{assignment.job.asset_name}_UE5"
        package = folder / "package" / name
        shutil.copytree(GOLDEN, package)
        shutil.make_archive(str(package), "zip", package.parent, name)
        shutil.copy(GOLDEN / "preview.png", folder / "thumbnail.png")
        check = Check(rule="toy", title="Is a crate", verdict=Verdict.PASS, figure="1")
        return Outcome(checklist=Checklist(checks=(check,)), thumbnail=True)

    def close(self) -> None:
        pass


if __name__ == "__main__":
    data, port, token = Path(sys.argv[1]), int(sys.argv[2]), "".join(sys.argv[3:])
    settings = load_settings(environment={}, data=data, port=port, token=token, concurrent_jobs=2)
    serve_forever(settings, CrateWorkshop())
