"""The label queue: chooses which samples people label next, and pushes each to Label Studio once."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.errors import InvalidValue
from ml_assets.labeling import media
from ml_assets.labeling.label_studio import QUEUE, LabelStudio
from ml_assets.labeling.pull import DELETED, adopt, sweep
from ml_assets.labeling.settings import LabelingSettings
from ml_assets.labeling.watch import ensure_project
from ml_assets.modalities import Modality
from ml_assets.spool.speakers import PRODUCTION
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import SCHEMAS
from ml_assets.tasks import Task

LARGE = 20_000
"""Size of the random sample that is clustered in place of a larger pool."""
AT_ONCE = 500
"""Number of samples whose content is in memory at once."""
Vectors = Callable[[Sequence[str]], NDArray[np.float32]]
Chosen = tuple[str, float, str]


@dataclass(frozen=True)
class QueueResult:
    """The counts of one pass over the label queue.

    Args:
        ls_project: Id of the project in Label Studio.
        pushed: Tasks that were recorded as pushed by this pass.
        waiting: Tasks that people have still to answer.
    """

    ls_project: int
    pushed: int
    waiting: int


def push_queue(
    store: ProjectStore,
    client: LabelStudio,
    settings: LabelingSettings,
    modality: Modality,
    vectors: Vectors,
    at: datetime,
    title: str | None = None,
) -> QueueResult:
    """Refill the queue if fewer than half of its tasks are left, and update `label_tasks`.

    What is meant to be pushed is written first, without a task id, and completed after the push: whatever an interrupted pass
    left open is pushed by the next, which looks up what Label Studio has already.

    Args:
        store: The project's tables.
        client: Access to Label Studio.
        settings: Options of the labeling stage.
        modality: Defines how Label Studio shows a sample.
        vectors: The embeddings of samples, `(n, d) float32` in the order of the ids; asked only for the strategies that need
            them.
        at: Time of the push.
        title: Title of the project in Label Studio; by default its name.
    """
    project = ensure_project(store, client, settings, modality, title)
    adopt(store, client, project)
    table = store.table("label_tasks")
    table.delete(f"ls_project != {project}")
    if client.count(project) < table.count(f"task_id IS NOT NULL AND reason != '{DELETED}'"):
        sweep(store, client, project, settings.task)
    waiting = client.waiting(project, settings.annotators)
    size = _size(store, settings, waiting)
    if size:
        table.upsert(_plan(store, settings, vectors, size, project, at))
    return QueueResult(
        project, _push_open(store, client, settings.task, modality, project), client.waiting(project, settings.annotators)
    )


def choose(
    candidates: Sequence[str],
    vectors: NDArray[np.float32],
    already: NDArray[np.float32],
    size: int,
    strategy: str = "diverse",
    seed: int = 0,
    uncertainty: Mapping[str, float] | None = None,
    first: Collection[str] = (),
) -> list[Chosen]:
    """Choose at most `size` of the candidates, as (id, priority, reason); the lowest priority is labelled first.

    The same candidates give the same choice, in whatever order they come.

    Args:
        candidates: Ids of the samples to choose from.
        vectors: `(n, d) float32`, one row per candidate. May be empty for `random`.
        already: `(m, d) float32` vectors of the samples that are labelled or queued.
        size: How many to choose.
        strategy: `diverse`, `random` or `uncertain`.
        seed: Random seed of clustering and random choice.
        uncertainty: 1 - confidence of each sample that has a prediction; for `uncertain`.
        first: Ids that come before all others, the least certain first.
    """
    if strategy not in ("diverse", "random", "uncertain"):
        raise InvalidValue(f"unknown strategy {strategy!r}: choose one of diverse, random, uncertain")
    unsure = uncertainty or {}
    order = sorted(range(len(candidates)), key=lambda i: candidates[i])
    urgent = sorted((candidates[i] for i in order if candidates[i] in first), key=lambda c: -unsure.get(c, 0.0))[:size]
    picked = [(i, "sent back by monitoring") for i in urgent]
    rest = [i for i in order if candidates[i] not in first]
    if strategy == "uncertain":
        ranked = sorted((i for i in rest if candidates[i] in unsure), key=lambda i: -unsure[candidates[i]])
        for i in ranked[: size - len(picked)]:
            picked.append((candidates[i], f"uncertain: confidence {1 - unsure[candidates[i]]:.2f}"))
        rest = [i for i in rest if candidates[i] not in unsure]
    missing = min(size - len(picked), len(rest))
    if missing > 0 and strategy == "random":
        drawn = np.random.default_rng(seed).permutation(len(rest))[:missing]
        picked += [(candidates[rest[j]], "random") for j in drawn]
    elif missing > 0:
        picked += [(candidates[rest[j]], why) for j, why in _diverse(vectors[rest], already, missing, seed)]
    half = [0.0 if i < len(urgent) else 0.5 for i in range(len(picked))]
    return [(c, half[i] + 0.5 * i / len(picked), why) for i, (c, why) in enumerate(picked)]


def _diverse(pool: NDArray[np.float32], already: NDArray[np.float32], size: int, seed: int) -> list[tuple[int, str]]:
    """Positions in the pool: the sample nearest to the centre of each k-means cluster, with the reason in words.

    What is labelled or queued already is clustered along. The clusters that hold the least of it, by share, have their turn
    first; among equals large ones and those far from all that was asked.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(pool))[: max(LARGE, size)])
    known = already[np.sort(rng.permutation(len(already))[:LARGE])] if len(already) else pool[:0]
    points = np.concatenate([pool[rows], known]).astype(np.float32)
    centre, distance = _clusters(points, min(size + min(len(known), max(size // 2, 50)), len(points)), seed)
    members: dict[int, list[int]] = {}
    for i in np.lexsort((np.arange(len(rows)), distance[: len(rows)])):  # nearest to its centre first
        members.setdefault(int(centre[i]), []).append(int(i))
    covered = np.bincount(centre[len(rows) :], minlength=int(centre.max()) + 1)
    far = _distances(points[[inside[0] for inside in members.values()]], known)
    weight = {c: len(members[c]) * d for c, d in zip(members, far.tolist(), strict=True)}
    turns = sorted(
        (((turn + int(covered[c])) / len(inside), -weight[c], inside[turn]), c)
        for c, inside in members.items()
        for turn in range(len(inside))
    )
    return [(int(rows[key[2]]), f"diverse: from a group of {len(members[c])} alike") for key, c in turns[:size]]


def _distances(points: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float64]:
    """`(n,)` distance of each point to the nearest known one; 1 if there are none."""
    from sklearn.metrics import pairwise_distances_argmin_min

    if len(known) == 0:
        return np.ones(len(points))
    return np.asarray(pairwise_distances_argmin_min(points, known)[1], np.float64)


def _clusters(points: NDArray[np.float32], k: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`(n,)` cluster of each point, and `(n,)` its distance to the cluster's centre."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    large = len(points) * k > 4_000_000
    # one thread: several would add up floats in varying order, so the choice would not be reproducible
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters: some stay empty
        if large:
            model = MiniBatchKMeans(k, random_state=seed, n_init=1, init="random", batch_size=4096, max_iter=20)
        else:
            model = KMeans(k, random_state=seed, n_init=1, max_iter=50)
        centre = np.asarray(model.fit_predict(points), np.int64)
    return centre, np.linalg.norm(points - model.cluster_centers_[centre], axis=1).astype(np.float32)


def short(store: ProjectStore, client: LabelStudio, settings: LabelingSettings) -> str:
    """Why `push_queue` would push something now, or the empty string; sends one small request."""
    project = ls_project_of(store)
    if project is None:
        return "nothing was pushed to Label Studio yet" if _size(store, settings, 0) and _candidates(store) else ""
    open_ = store.table("label_tasks").count("task_id IS NULL")
    if open_:
        return f"{open_} tasks were not pushed to the end"
    waiting = client.waiting(project, settings.annotators)
    if not _size(store, settings, waiting) or not _candidates(store):
        return ""
    return f"{waiting} tasks wait for people"


def _room(store: ProjectStore, settings: LabelingSettings, waiting: int) -> int:
    """Number of tasks that fit into the queue; 0 while half of it is left."""
    table, queue = store.table("label_tasks"), settings.queue
    waiting += table.count("task_id IS NULL")
    room = queue.size - waiting if 2 * waiting < queue.size else 0
    return room if queue.total is None else max(0, min(room, queue.total - table.count()))


def _size(store: ProjectStore, settings: LabelingSettings, waiting: int) -> int:
    """Number of tasks to push: the free places of the queue, and at least all samples that monitoring sent back."""
    urgent = sum(row["source"] == PRODUCTION for row in _candidates(store).values())
    return max(_room(store, settings, waiting), int(urgent))


def _candidates(store: ProjectStore) -> dict[str, dict[str, Any]]:
    """Id, source and split of each sample that has no label and is not in the queue, by id."""
    given = store.table("given_labels").read(["sample_id"])["sample_id"].to_pylist()
    taken = _labelled(store) | set(given) | store.table("label_tasks").ids()
    samples = store.table("samples").read(["id", "source", "split"]).to_pylist()
    return {row["id"]: row for row in samples if row["id"] not in taken}


def _plan(store: ProjectStore, settings: LabelingSettings, vectors: Vectors, size: int, project: int, at: datetime) -> pa.Table:
    """Rows of `label_tasks`, without task ids, for the samples that people label next.

    Training samples are chosen by the strategy. Test samples take their share of the queue and are drawn at random, so that
    the test split says what it should; what a model predicts of them is not shown, so that it cannot sway their labels.
    """
    candidates = _candidates(store)
    train, test = (sorted(i for i, row in candidates.items() if row["split"] == split) for split in ("train", "test"))
    asked = sorted((store.table("label_tasks").ids() | _labelled(store)) & store.table("samples").ids("split = 'train'"))
    predicted = {r["id"]: r for r in store.table("batch_predictions").read(["id", "model", "label", "confidence"]).to_pylist()}
    unsure = {i: 1.0 - row["confidence"] for i, row in predicted.items()}
    strategy, seed, none = settings.queue.strategy, settings.queue.seed, np.zeros((0, 1), np.float32)
    needed = bool(train) and strategy != "random"
    urgent = {i for i in train if candidates[i]["source"] == PRODUCTION}
    drawn = round(max(0, size - len(urgent)) * len(test) / len(candidates)) if candidates else 0
    chosen = choose(
        train,
        vectors(train) if needed else none,
        vectors(asked) if needed and asked else none,
        size - drawn,
        strategy,
        seed,
        unsure,
        urgent,
    )
    chosen += [(i, priority, "random: test split") for i, priority, _ in choose(test, none, none, drawn, "random", seed)]
    shown = {i: row for i, row in predicted.items() if i not in set(test)}
    found = [
        {"id": i, "task_id": None, "ls_project": project, "priority": priority, "reason": reason, "pushed_at": at,
         "predicted": shown.get(i, {}).get("label"), "model": shown.get(i, {}).get("model")}
        for i, priority, reason in chosen
    ]  # fmt: skip
    return pa.Table.from_pylist(found, SCHEMAS["label_tasks"])


def _labelled(store: ProjectStore) -> set[str]:
    return set(store.table("annotations").read(["sample_id"], where="deleted = false")["sample_id"].to_pylist())


def _push_open(store: ProjectStore, client: LabelStudio, task: Task, modality: Modality, project: int) -> int:
    """Push every row that has no task id yet, in the order of priority, write the ids, and return how many were pushed."""
    table = store.table("label_tasks")
    rows = table.read(where="task_id IS NULL").sort_by([("priority", "ascending"), ("id", "ascending")]).to_pylist()
    shown: dict[str, str] = {}
    for start in range(0, len(rows), AT_ONCE):
        ids = [row["id"] for row in rows[start : start + AT_ONCE]]
        content = store.table("samples").take(ids, ["id", modality.column]).to_pydict()
        shown |= media.shown(store.project, dict(zip(content["id"], content[modality.column], strict=True)), modality)
    table.remove(row["id"] for row in rows if row["id"] not in shown)  # whose samples were removed in between
    pushed = client.push(project, [_ls_task(row, shown[row["id"]], task) for row in rows if row["id"] in shown])
    done = [row | {"task_id": pushed[row["id"]]} for row in rows if row["id"] in pushed]
    table.upsert(pa.Table.from_pylist(done, SCHEMAS["label_tasks"]))
    return len(done)


def _ls_task(row: dict[str, Any], content: str, task: Task) -> dict[str, Any]:
    """A Label Studio task; its prediction carries the priority as score, and is empty if there is no model."""
    result = task.to_label_studio(row["predicted"]) if row["predicted"] is not None else []
    prediction = {"result": result, "score": row["priority"], "model_version": QUEUE}
    return {"data": {"item_id": row["id"], "content": content}, "predictions": [prediction]}


def ls_project_of(store: ProjectStore) -> int | None:
    """The id of the Label Studio project of the queue; None before the first push."""
    found = store.table("label_tasks").read(["ls_project"])["ls_project"].to_pylist()
    return int(found[-1]) if found else None
