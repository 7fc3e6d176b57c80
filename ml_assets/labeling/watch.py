"""Detects changes in Label Studio that only administrators should make, reports them, and reverts them where that is safe.

A server started by `ml-assets up` does not let annotators make them; one that existed before (`LABEL_STUDIO_URL`) lets every
account change everything. The last state is stored in a small file beside the tables; without it, the current state is taken as
the right one.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ml_assets.labeling import media
from ml_assets.labeling.label_studio import QUEUE, LabelStudio, is_ours
from ml_assets.labeling.settings import LabelingSettings
from ml_assets.modalities import Modality
from ml_assets.store import ProjectStore

KEPT = ("description", "label_config", "maximum_annotations", "sampling", "enable_empty_annotation")
"""Settings of a Label Studio project on which its queue and its answers depend; changes are reverted."""
LOOKED_AT = (
    "title", "model_version", "expert_instruction", "show_instruction", "show_collab_predictions", "skip_queue", "is_published",
)  # fmt: skip
"""Other settings of a Label Studio project; changes are only reported, because an administrator may want them."""


@dataclass(frozen=True)
class Seen:
    """The state of Label Studio at the last check.

    Args:
        ls_project: Id of the project there.
        project: The project's settings.
        administrator: Id, address and name of the account whose token is used.
        projects: Titles of the projects that `ml_assets` did not create, by id.
        storages: Import and export storages of the project.
        members: E-mail addresses, by id.
        told: Reported sentences by asset, each from the asset's last check.
    """

    ls_project: int
    project: dict[str, Any]
    administrator: dict[str, Any]
    projects: dict[str, str]
    storages: dict[str, str]
    members: dict[str, str]
    told: dict[str, list[str]] = field(default_factory=dict)


def watch(
    store: ProjectStore,
    client: LabelStudio,
    ls_project: int | None,
    settings: LabelingSettings,
    modality: Modality,
    asset: str,
) -> list[str]:
    """Report changes in Label Studio since the last check, as sentences, and revert those that affect the project.

    Args:
        store: The project's tables.
        client: Access to Label Studio.
        ls_project: Id of the project there, None before the first push.
        settings: Options of the labeling stage: the intended state of the project.
        modality: Defines how Label Studio shows a sample.
        asset: The asset that checks; its Dagster check reports the result.
    """
    before = read(store)
    told = differences(store, client, ls_project)
    if ls_project is not None:
        found = client.project(ls_project)
        if found is not None and not is_ours(str(found.get("description"))) and _made_here(before, ls_project):
            client.mark(ls_project, store.project)
        ls_project = ensure_project(store, client, settings, modality)
        now = look(store, client, ls_project)
        _write(store, replace(now, told={**(before.told if before else {}), asset: told}))
    return told


def differences(store: ProjectStore, client: LabelStudio, ls_project: int | None) -> list[str]:
    """A sentence for each difference from the last check; changes nothing."""
    before = read(store)
    if before is None or ls_project is None or before.ls_project != ls_project:
        return []
    if client.project(ls_project) is None:
        return [f"project {ls_project} was deleted in Label Studio: a new one is made"]
    now, told = look(store, client, ls_project), []
    for name in (*KEPT, *LOOKED_AT):
        if name == "model_version" and now.project.get(name) == QUEUE:
            continue  # set by each push
        if now.project.get(name) != before.project.get(name):
            end = ": it is put right" if name in KEPT else ""
            told.append(f"{name} of project {ls_project} was changed in Label Studio{end}")
    for name, value in before.administrator.items():
        if now.administrator.get(name) != value:
            told.append(f"the administrator's {name} was changed from {value!r} to {now.administrator.get(name)!r}")
    for what, old, new in (
        ("project", before.projects, now.projects),
        (f"storage of project {ls_project}", before.storages, now.storages),
        ("account", before.members, now.members),
    ):
        told += [f"a new {what} in Label Studio: {new[i]} ({i})" for i in new if i not in old]
        told += [f"a {what} is gone from Label Studio: {old[i]} ({i})" for i in old if i not in new]
        told += [f"a {what} in Label Studio was {old[i]} and is {new[i]} ({i})" for i in new if old.get(i, new[i]) != new[i]]
    return told


def look(store: ProjectStore, client: LabelStudio, ls_project: int) -> Seen:
    """The current state of the project, its accounts and its storages on the server."""
    project, files = client.project(ls_project) or {}, str(media.folder(store.project))
    others = {i: p["title"] for i, p in client.projects().items() if i != ls_project and not is_ours(p["description"])}
    return Seen(
        ls_project=ls_project,
        project={name: project.get(name) for name in (*KEPT, *LOOKED_AT)},
        administrator=client.administrator(),
        projects={str(number): title for number, title in others.items()},
        storages={name: where for name, where in client.storages(ls_project).items() if where != files},
        members={str(number): email for number, email in client.users().items()},
    )


def ensure_project(
    store: ProjectStore, client: LabelStudio, settings: LabelingSettings, modality: Modality, title: str | None = None
) -> int:
    """The id of the project's counterpart in Label Studio, which is created or updated together with its media folder."""
    config = settings.task.label_config(modality.label_studio_object(), settings.question)
    project = client.ensure_project(store.project, config, settings.annotators, title, settings.task.may_be_empty)
    if modality.has_files:
        media.folder(store.project).mkdir(parents=True, exist_ok=True)
        client.ensure_local_files(project, str(media.folder(store.project)))
    return project


def read(store: ProjectStore) -> Seen | None:
    """The state stored by the last check; None before the first check and if the file is damaged."""
    import fsspec

    fs, path = fsspec.url_to_fs(_uri(store))
    try:
        stored: Mapping[str, Any] = json.loads(fs.cat_file(path))
        seen = Seen(**stored)
        kinds = (seen.project, seen.administrator, seen.projects, seen.storages, seen.members, seen.told)
        return seen if isinstance(seen.ls_project, int) and all(isinstance(kind, dict) for kind in kinds) else None
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _made_here(before: Seen | None, ls_project: int) -> bool:
    return before is not None and before.ls_project == ls_project and is_ours(str(before.project.get("description")))


def _write(store: ProjectStore, seen: Seen) -> None:
    import fsspec

    fs, path = fsspec.url_to_fs(_uri(store))
    fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    beside = f"{path}.{os.getpid()}"
    fs.pipe_file(beside, json.dumps(asdict(seen), ensure_ascii=False).encode())
    fs.mv(beside, path)


def _uri(store: ProjectStore) -> str:
    return f"{store.uri}/label_studio_seen.json"
