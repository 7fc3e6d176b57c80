"""The Dagster sensor that sees new files in the sources and new records in the inbox."""

import dagster as dg

from ml_assets.collection.collect import new_files
from ml_assets.collection.settings import CollectionSettings
from ml_assets.orchestration.dead_runs import fail_runs_of_dead_processes
from ml_assets.orchestration.resources import key, request
from ml_assets.state.clock import now
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task

CHAIN = ["samples", "embeddings", "label_tasks", "annotations", "labels", "dataset"]


def collection_sensors(project: str, settings: CollectionSettings, task: Task) -> list[dg.SensorDefinition]:
    """The sensors of the collection stage: one, which requests a run for each new set of files."""

    @dg.sensor(
        name=f"{project}_new_files",
        asset_selection=[key(project, noun) for noun in CHAIN],
        minimum_interval_seconds=settings.poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def new_files_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Request a run if a source has new or changed files."""
        # done in this sensor because every project has it: runs of dead processes would block the run queue
        fail_runs_of_dead_processes(context.instance, project)
        found, problems = new_files(ProjectStore(project), settings, task, now())
        if not found:
            return dg.SkipReason(problems[0] if problems else "no new files")
        digest = content_id(*sorted(f"{s.name} {f.uri} {f.fingerprint}" for s, f in found))
        return request(context, project, f"{len(found)} new or changed files ({digest[:8]}), such as {found[0][1].uri}")

    return [new_files_sensor]
