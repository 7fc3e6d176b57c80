"""Pulls answers from Label Studio, after reporting and reverting settings that were changed there."""

from collections.abc import Callable

from ml_assets.labeling.accounts import programs
from ml_assets.labeling.label_studio import LabelStudio
from ml_assets.labeling.pull import PullResult, pull
from ml_assets.labeling.queue import ls_project_of
from ml_assets.labeling.settings import LabelingSettings
from ml_assets.labeling.watch import watch
from ml_assets.modalities import Modality
from ml_assets.store import ProjectStore

NOTHING = PullResult(tasks=0, changed=0, deleted=0, invalid=())


def pull_answers(
    store: ProjectStore,
    connect: Callable[[], LabelStudio],
    settings: LabelingSettings,
    modality: Modality,
    warn: Callable[[str], None],
) -> PullResult:
    """Store the answers since the last pull; without a project in Label Studio return `NOTHING`.

    Args:
        store: The project's tables.
        connect: Returns a Label Studio client; called only after the first push.
        settings: Options of the labeling stage.
        modality: Defines how Label Studio shows a sample.
        warn: Called with a sentence for each change of settings in Label Studio and each annotation that is not a valid label.
    """
    ls_project = ls_project_of(store)
    if ls_project is None:
        return NOTHING
    client = connect()
    for told in watch(store, client, ls_project, settings, modality, "annotations"):
        warn(told)
    if client.project(ls_project) is None:  # the project was deleted; the asset `label_tasks` creates a new one
        return NOTHING
    found = pull(store, client, ls_project, settings.task, programs())
    for wrong in found.invalid:
        warn(f"task {wrong.task_id} in Label Studio: {wrong.reason}")
    return found
