"""The Dagster sensor that sees changes in Label Studio, labels sent to the API, and a queue that runs short."""

import dagster as dg

from ml_assets.labeling.connect import connect
from ml_assets.labeling.label_studio import LabelStudioRefused, LabelStudioUnavailable
from ml_assets.labeling.pull import pending
from ml_assets.labeling.queue import ls_project_of, short
from ml_assets.labeling.settings import LabelingSettings
from ml_assets.labeling.watch import differences
from ml_assets.orchestration.resources import key, request
from ml_assets.state.home import home
from ml_assets.store import ProjectStore

SECONDS = 10.0
"""Time limit of each request to Label Studio, in seconds: a sensor has a minute in all."""
QUEUE = "label_tasks"
CHAIN = ["annotations", "labels", "dataset"]


def sent(project: str) -> str:
    """A sentence if there are new labels from the API, else the empty string; does not contact Label Studio."""
    files = sorted(path.name for path in (home() / "inbox" / project / "labels").glob("*.jsonl"))
    return f"{len(files)} files of labels were sent to the API, the last is {files[-1]}" if files else ""


def news(project: str, timeout: float = SECONDS) -> str:
    """A sentence if there are new answers in Label Studio or new labels from the API, else the empty string."""
    if found := sent(project):
        return found
    store = ProjectStore(project)
    ls_project = ls_project_of(store)
    return pending(store, connect(timeout), ls_project) if ls_project is not None else ""


def tampered(project: str, timeout: float = SECONDS) -> str:
    """A sentence if settings that only administrators should change were changed in Label Studio, else the empty string."""
    store = ProjectStore(project)
    ls_project = ls_project_of(store)
    return "; ".join(differences(store, connect(timeout), ls_project)) if ls_project is not None else ""


def labeling_sensors(project: str, settings: LabelingSettings) -> list[dg.SensorDefinition]:
    """The sensors of the labeling stage: one, which requests a run for new answers, or one that fills the queue."""

    @dg.sensor(
        name=f"{project}_annotations",
        asset_selection=[key(project, noun) for noun in (QUEUE, *CHAIN)],
        minimum_interval_seconds=settings.poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def annotations_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Request a run if Label Studio has changes or its tasks run out; if it does not respond, log that once and wait."""
        try:
            changed = "" if sent(project) else tampered(project)
            found, needed = changed or news(project), ""
            if not found and context.instance.get_latest_materialization_event(key(project, "embeddings")):
                # for example because Label Studio did not respond when the samples were collected
                needed = short(ProjectStore(project), connect(SECONDS), settings)
        except (LabelStudioUnavailable, LabelStudioRefused) as error:
            kind = type(error).__name__
            if context.cursor != kind:
                context.log.warning(str(error))
            context.update_cursor(kind)
            return dg.SkipReason(str(error))
        context.update_cursor("")
        if not (found or needed):
            return dg.SkipReason("nothing changed")
        asked = request(context, project, found or needed)
        if isinstance(asked, dg.SkipReason):
            return asked
        # changed settings are reverted before answers are read
        nouns = [QUEUE, *CHAIN] if changed else CHAIN if found else [QUEUE]
        chosen = [key(project, noun) for noun in nouns]
        return dg.RunRequest(run_key=asked.run_key, tags=asked.tags, asset_selection=chosen)

    return [annotations_sensor]
