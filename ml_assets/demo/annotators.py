"""Demo annotators: Label Studio users that stand in for people, openly, and answer with the published labels."""

import json
import random
import secrets
from collections.abc import Callable, Mapping

from ml_assets.labeling.accounts import ensure_annotator, programs_file
from ml_assets.labeling.connect import connect
from ml_assets.labeling.label_studio import Answer
from ml_assets.labeling.queue import ls_project_of
from ml_assets.state.files import write_whole
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task

EMAILS = ("demo-annotator-1@localhost.example", "demo-annotator-2@localhost.example", "demo-annotator-3@localhost.example")
AT_ONCE = 50
CONNECTIONS = 6


def logins() -> dict[str, str]:
    """The password of each demo annotator by e-mail address, created at first use in a file that only the owner can read."""
    path = programs_file()
    if not path.exists():
        write_whole(path, json.dumps({email: secrets.token_urlsafe(12) for email in EMAILS}).encode())
    found: dict[str, str] = json.loads(path.read_text())
    return found


def shared_out(answers: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Divide the answers among the annotators, always in the same way: about a third of the samples each."""
    found: dict[str, dict[str, str]] = {email: {} for email in EMAILS}
    for sample, value in answers.items():
        found[EMAILS[int(sample[:8], 16) % len(EMAILS)]][sample] = value
    return found


def label(project: str, task: Task, answers: Mapping[str, Mapping[str, str]], on_progress: Callable[[int, int], None]) -> int:
    """Answer every waiting task of the project in the annotators' names; return how many annotations were made.

    Args:
        project: The project's name.
        task: The label task.
        answers: What each annotator (e-mail address) answers, by sample id. Those of one sample may differ.
        on_progress: Called with the number of annotations done and the total.
    """
    store = ProjectStore(project)
    if ls_project_of(store) is None:
        return 0
    answered = {
        (row["sample_id"], row["labeler"])
        for row in store.table("annotations").read(["sample_id", "labeler"], "deleted = false").to_pylist()
    }
    tasks = store.table("label_tasks").read(["id", "task_id", "priority"], "task_id IS NOT NULL").sort_by("priority")
    waiting = {
        email: [
            (row["task_id"], known[row["id"]])
            for row in tasks.to_pylist()
            if row["id"] in known and (row["id"], email) not in answered
        ]
        for email, known in answers.items()
    }
    total = sum(map(len, waiting.values()))
    if not total:
        return 0
    admin, passwords = connect(), logins()
    clients = {email: ensure_annotator(admin, email, passwords[email]) for email in answers}
    seconds = random.Random(0)
    made = done = 0
    for start in range(0, max(map(len, waiting.values())), AT_ONCE):  # in turn, so that tasks are finished as it goes on
        for email, client in clients.items():
            batch = [
                Answer(task_id, task.to_label_studio(value), round(seconds.uniform(2, 20), 1))
                for task_id, value in waiting[email][start : start + AT_ONCE]
            ]
            made += client.add_annotations(batch, CONNECTIONS)
            done += len(batch)
            on_progress(done, total)
    return made
