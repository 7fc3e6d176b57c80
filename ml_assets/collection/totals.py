"""Summarizes the samples after a pass over the sources: digest, counts, or the reason why there are none."""

from collections.abc import Sequence

from ml_assets.collection.collect import Collected, unreadable
from ml_assets.collection.settings import CollectionSettings
from ml_assets.errors import Missing
from ml_assets.store import ProjectStore

CONTENT = ["id", "split", "group", "columns"]


def content_digest(store: ProjectStore) -> str:
    """Digest of the samples and the labels that came with them; when it changes, what was made from them is outdated."""
    return store.table("samples").digest(CONTENT) + store.table("given_labels").digest(["sample_id", "labeler", "value"])


def require_samples(store: ProjectStore, settings: CollectionSettings, problems: Sequence[str]) -> None:
    """Raise `Missing` with the first reason if there are no samples at all.

    Args:
        store: The project's tables.
        settings: Options of the collection stage.
        problems: Sentences about what this pass could not read.
    """
    if store.table("samples").count():
        return
    rejects = store.table("rejects").count()
    others = f"{rejects} records were rejected, and there are no others" if rejects else "the sources are empty"
    why = [*problems, *unreadable(store, settings), others]
    raise Missing(f"nothing could be collected: {why[0]}")


def totals(store: ProjectStore, done: Collected) -> dict[str, int]:
    """Counts of the stored samples and rejects, and of what this pass did (`…_now`)."""
    samples = store.table("samples")
    return {
        "samples": samples.count(),
        "received_now": done.received,
        "duplicates_now": done.duplicates,
        "rejected_now": done.rejected,
        "train": samples.count("split = 'train'"),
        "test": samples.count("split = 'test'"),
        "rejects": store.table("rejects").count(),
        "accepted_now": done.accepted,
    }
