"""Rows of a small project: texts in several scripts, one that attacks, labels that agree and conflict."""

import json
from datetime import UTC, datetime, timedelta

from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice

AT = datetime(2026, 11, 23, 14, 41, tzinfo=UTC)
TASK = SingleChoice(classes=("good", "bad", "so so"))
ATTACK = (
    "</script><script>window.pwned=1</script><!-- <script> <img src=x onerror=window.pwned=2> "
    "]]> {{ 7*7 }} \u2028 \u2029 &lt;b&gt; \"quoted\" 'single' \\ \x7f <svg onload=alert(1)>"
)
TEXTS = {
    "praise": "A lovely film. Every scene glows, and the ending\n\n    is earned.",
    "doubt": "Some of it works, some of it does not.",
    "slating": "Two hours that I will never get back.",
    "waits": "Космический корабль над городом, ёлка и снег.",
    "attack": ATTACK,
    "arabic": "مرحبا بالعالم، هذه رسالة قصيرة",
    "long": "word " * 2000 + "needle",
    "mended": "The reviewer changed their mind about this one.",
}
IDS = {name: content_id("text", text) for name, text in TEXTS.items()}


def fill(store: ProjectStore, samples: dict[str, str] = TEXTS) -> None:
    """Write the project's tables."""
    write(store, "samples", [_sample(name, text) for name, text in samples.items()])
    write(
        store,
        "labels",
        [
            _label("praise", "good", 2, 1.0),
            _label("doubt", None, 2, 0.5),
            _label("slating", "bad", 1, 1.0),
            _label("mended", "so so", 3, 2 / 3),
            _label("attack", "</script>", 1, 1.0),
        ],
    )
    write(
        store,
        "annotations",
        [
            _annotation("praise", "ada", "good", 0, seconds=8.0),
            _annotation("praise", "ben", "good", 1, seconds=12.0),
            _annotation("doubt", "ada", "good", 2),
            _annotation("doubt", "ben", "bad", 3),
            _annotation("slating", "published", "bad", 0, kind="published"),
            _annotation("mended", "ada", "so so", 4, updated=6),
            _annotation("mended", "ben", "so so", 5),
            _annotation("mended", "<b>chi</b>", "bad", 6),
            _annotation("mended", "<b>chi</b>", "good", 2, deleted=True),
            _annotation("attack", "<b>chi</b>", "</script>", 7),
        ],
    )
    write(
        store,
        "label_tasks",
        [
            {"id": IDS[name], "task_id": 40 + i, "ls_project": 3, "priority": 0.5, "reason": "uncertain", "pushed_at": AT}
            for i, name in enumerate(("praise", "doubt", "waits", "mended"))
        ],
    )
    write(
        store,
        "batch_predictions",
        [
            _prediction("praise", "good", 0.98),
            _prediction("slating", "good", 0.71),
            _prediction("waits", "bad", float("nan")),
            _prediction("mended", "bad", 0.9),
        ],
    )
    write(
        store,
        "rejects",
        [
            {
                "id": f"r{i}",
                "source": "files",
                "origin": f"a.csv#{i}",
                "reason": reason,
                "excerpt": "<i>cut</i>",
                "at": AT + timedelta(hours=i),
            }
            for i, reason in enumerate(("empty", "empty", "too long: <b>9</b>"))
        ],
    )
    write(
        store,
        "receipts",
        [
            {"id": uri, "source": "files", "uri": uri, "received": 6, "accepted": 4, "duplicates": 1, "rejected": 1, "at": AT}
            for uri in ("a.csv", "b.csv")
        ],
    )
    store.table("dataset").replace(rows("dataset", [{"id": IDS["praise"], "value": "good", "split": "train"}]), "ds-0f1e2d")


def write(store: ProjectStore, table: str, values: list[dict]) -> None:
    store.table(table).upsert(rows(table, values))


def _sample(name: str, text: str) -> dict:
    source = "push" if name in ("arabic", "attack") else "files"
    return {
        "id": content_id("text", text),
        "text": text,
        "source": source,
        "origin": f"{name}.txt",
        "split": "test" if name == "slating" else "train",
        "split_by": "hash",
        "columns": json.dumps({"stars": 4, "half": "\ud83d", "by": "<u>x</u>"}) if name == "attack" else None,
        "collected_at": AT - timedelta(days=len(name)),
    }


def _label(name: str, value: str | None, annotators: int, agreement: float) -> dict:
    return {
        "id": IDS[name],
        "value": value,
        "annotators": annotators,
        "agreement": agreement,
        "conflict": value is None,
        "annotation_ids": "[]",
        "labelers": "[]",
    }


def _annotation(
    name: str,
    labeler: str,
    value: str,
    day: int,
    kind: str = "person",
    seconds: float | None = None,
    updated: int | None = None,
    deleted: bool = False,
) -> dict:
    return {
        "id": f"{name}/{labeler}/{day}",
        "sample_id": IDS[name],
        "labeler": labeler,
        "labeler_kind": kind,
        "value": value,
        "origin": "label studio",
        "created_at": AT + timedelta(days=day),
        "updated_at": AT + timedelta(days=updated or day),
        "lead_seconds": seconds,
        "deleted": deleted,
    }


def _prediction(name: str, label: str, confidence: float) -> dict:
    return {"id": IDS[name], "model": "reviews-1", "label": label, "confidence": confidence, "scores": "{}", "at": AT}
