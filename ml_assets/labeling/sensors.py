"""Sees what people do in Label Studio, and labels that were sent to the API."""

import dagster as dg

from ml_assets.home import home
from ml_assets.labeling.connect import connect
from ml_assets.labeling.label_studio import LabelStudioRefused, LabelStudioUnavailable
from ml_assets.labeling.pull import pending
from ml_assets.labeling.queue import ls_project_of
from ml_assets.labeling.settings import LabelingSettings
from ml_assets.resources import key, request
from ml_assets.store import ProjectStore

CHAIN = ["annotations", "labels", "dataset"]


def news(project: str, timeout: float = 10.0) -> str:
    """A sentence about what people answered since the last pull or sent to the API, else the empty string."""
    store = ProjectStore(project)
    sent = sorted(path.name for path in (home() / "inbox" / project / "labels").glob("*.jsonl"))
    if sent:
        return f"{len(sent)} files of labels were sent to the API, the last is {sent[-1]}"
    ls_project = ls_project_of(store)
    return pending(store, connect(timeout), ls_project) if ls_project is not None else ""


def labeling_sensors(project: str, settings: LabelingSettings) -> list[dg.SensorDefinition]:
    """One sensor: one run for all that changed. Training is not started by it."""

    @dg.sensor(
        name=f"{project}_annotations",
        asset_selection=[key(project, noun) for noun in CHAIN],
        minimum_interval_seconds=settings.poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def annotations_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Asks Label Studio for changes; while it does not answer, waits and says so once."""
        try:
            found = news(project)
        except (LabelStudioUnavailable, LabelStudioRefused) as error:
            if context.cursor != "silent":
                context.log.warning(str(error))
            context.update_cursor("silent")
            return dg.SkipReason(str(error))
        context.update_cursor("")
        return request(context, project, found) if found else dg.SkipReason("nothing changed")

    return [annotations_sensor]
