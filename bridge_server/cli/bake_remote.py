"""``forge bake --server``: the same bake as a job, its files fetched into the same place."""

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer
from open3dforge.v1 import jobs_pb2

from bridge_server.cli import bake_files, output, progress, transfers
from bridge_server.cli.bake_files import BakeOrder
from bridge_server.cli.client import ForgeClient
from bridge_server.cli.connection import connected
from bridge_server.cli.documents import document
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.following import bare, exit_code, follow, job_failure
from bridge_server.cli.submission import upload_mesh
from bridge_server.package.map_set import REPORT_NAME


def bake_there(
    asked: BakeOrder, out: Path, server: str, token: str, authority: Path | None, *, as_json: bool
) -> Mapping[str, Any]:
    """Send both meshes, follow the job, and put its files into ``out``; returns what ``bake.json`` holds.

    Ends with the job's exit code where the job did not succeed. Ctrl-C ends the watch and not the job.
    """
    for path in (asked.high, asked.low):
        bake_files.mesh_source(path)
    bake_files.refuse_unwritable(out)
    with connected(server, token, authority) as client, progress.open_view(as_json=as_json) as view:
        job = _submitted(client, asked, view)
        output.remark(f"job {bare(job.name)} queued")
        ended = follow(client, job.name, view)
        if ended.state == jobs_pb2.JOB_STATE_FAILED:
            raise job_failure(ended)
        if ended.state == jobs_pb2.JOB_STATE_CANCELLED:
            _tell_cancelled(ended, as_json=as_json)
            raise typer.Exit(exit_code(ended))
        return _fetched(client, ended, out, view)


def _submitted(client: ForgeClient, asked: BakeOrder, view: progress.View) -> jobs_pb2.Job:
    changes = [f"bake_maps.{each.name}={getattr(asked.wish, each.name)}" for each in fields(asked.wish)]
    if asked.unwrap:
        changes.append("load_low.unwrap=true")
    changes += [f"backends.{kind}={name}" for kind, name in asked.backends.items() if name != "auto"]
    split = [change.partition("=") for change in changes]
    spec = jobs_pb2.JobSpec(
        asset_name=asked.asset,
        overrides=[jobs_pb2.SettingOverride(setting=setting, value=value) for setting, _, value in split],
        mesh=upload_mesh(client, asked.high, view.transfer),
        bake=jobs_pb2.BakeInput(low=upload_mesh(client, asked.low, view.transfer)),
    )
    return client.create_job(str(uuid.uuid4()), spec)


def _fetched(client: ForgeClient, job: jobs_pb2.Job, out: Path, view: progress.View) -> Mapping[str, Any]:
    waiting = out / f".bake-{bare(job.name)}"
    try:
        placed = transfers.download_job(client, job.name, waiting, view.transfer)
        folder = next(path for path in placed if path.is_dir())
        content: Mapping[str, Any] = json.loads((folder / REPORT_NAME).read_bytes())
        bake_files.unpack(folder, out)
    except KeyboardInterrupt:
        output.remark(f"forge: interrupted. Fetch the maps: ./forge download {bare(job.name)} --out {out}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    return content


def _tell_cancelled(job: jobs_pb2.Job, *, as_json: bool) -> None:
    if as_json:
        output.emit({"job": document(job)})
    else:
        output.say(f"Cancelled. Queue it again: ./forge retry {bare(job.name)}")
