"""Answers from Label Studio: what was changed there is told and put right first, then what people answered is stored."""

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
    """Store what people answered since the last time. Without a project in Label Studio there is `NOTHING`.

    Args:
        store: The project's tables.
        connect: Gives access to Label Studio; called only after the first push.
        settings: Of the stage.
        modality: Says how Label Studio shows a sample.
        warn: Gets a sentence for each thing that was changed in Label Studio and for each annotation that is no label.
    """
    ls_project = ls_project_of(store)
    if ls_project is None:
        return NOTHING
    client = connect()
    for told in watch(store, client, ls_project, settings, modality, "annotations"):
        warn(told)
    if client.project(ls_project) is None:  # `label_tasks` begins anew
        return NOTHING
    found = pull(store, client, ls_project, settings.task, programs())
    for wrong in found.invalid:
        warn(f"task {wrong.task_id} in Label Studio: {wrong.reason}")
    return found
