"""The people and the application around the loop, as processes that can be killed and started again.

    python -m faults.client annotators | application FOLDER [labels] | up SERVER…

Both do what is not done yet: an annotator answers each open task once, the application repeats a request until it is
answered. What it asked and what was acknowledged stands in FOLDER, written before the next request.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ml_assets import settings
from ml_assets.commands.predict import EndpointError, call, key
from ml_assets.labeling.accounts import ensure_annotator
from ml_assets.labeling.connect import connect
from ml_assets.labeling.label_studio import Answer
from ml_assets.services import supervisor
from ml_assets.store import ProjectStore

from . import project

ANNOTATORS = {"one@localhost.example": "correct-horse-1", "two@localhost.example": "correct-horse-2"}
SECONDS = 120.0
"""How long the application tries one request."""


def annotate() -> None:
    """Answer every task that waits, each annotator always the same ones."""
    task, answers = settings.load(project.NAME).labeling.task, project.answers()
    tasks = ProjectStore(project.NAME).table("label_tasks").read(["id", "task_id"], "task_id IS NOT NULL").to_pylist()
    for number, (email, password) in enumerate(ANNOTATORS.items()):
        own = [row for row in tasks if int(row["id"][:8], 16) % len(ANNOTATORS) == number]
        client = ensure_annotator(connect(), email, password)
        made = client.add_annotations(
            [Answer(r["task_id"], task.to_label_studio(answers[r["id"]]), 1.0) for r in own], connections=2
        )
        print(f"{email}: {made} annotations")


def apply(folder: Path, labels: bool) -> None:
    """Push samples (with their labels), ask for predictions one by one, and say what would have been right."""
    secret = key(project.NAME)
    plain = [{"content": text} for _, text in project.uploads()]
    labelled = [{"content": text, "label": topic} for topic, text in project.uploads()]
    _until_answered("samples", {"samples": labelled if labels else plain}, secret)
    known = {entry["text"]: entry for entry in read(folder / "acknowledged.jsonl")}
    for number, (topic, text) in enumerate(project.questions()):
        if text not in known:
            # one at a time: several in one run of the model would differ in the last digits by who came together with whom
            answer = _until_answered("predict", {"samples": [text]}, secret, folder / "asked.jsonl")
            known[text] = {"text": text, "model": answer["model"], **answer["predictions"][0]}
            _append(folder / "acknowledged.jsonl", known[text])
        if number % 3:
            _until_answered("feedback", {"prediction_id": known[text]["id"], "label": topic}, secret)
    print(f"{len(known)} predictions")


def read(path: Path) -> list[dict[str, Any]]:
    """The lines that were written whole."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def _until_answered(route: str, body: dict[str, Any], secret: str, asked: Path | None = None) -> Any:
    deadline = time.monotonic() + SECONDS
    while True:
        if asked is not None:
            _append(asked, body)
        try:
            return call(project.NAME, route, body, secret)
        except EndpointError as error:
            if time.monotonic() > deadline or "refused (4" in str(error):
                raise
            time.sleep(0.5)


def _append(path: Path, entry: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    if sys.argv[1] == "up":
        supervisor.up(only=sys.argv[2:])
    elif sys.argv[1] == "annotators":
        annotate()
    else:
        apply(Path(sys.argv[2]), "labels" in sys.argv)
