"""Demo annotators: real Label Studio users who answer with what was published. They stand in for people, and it is said so."""

import json
import os
import random
import secrets
from collections.abc import Callable, Mapping

from ml_assets.home import home
from ml_assets.labeling.accounts import ensure_annotator
from ml_assets.labeling.connect import connect
from ml_assets.labeling.label_studio import Answer
from ml_assets.labeling.queue import ls_project_of
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task

EMAILS = ("demo-annotator-1@localhost.example", "demo-annotator-2@localhost.example", "demo-annotator-3@localhost.example")
AT_ONCE = 50
CONNECTIONS = 6


def logins() -> dict[str, str]:
    """Password of each demo annotator, made at first use and kept readable by the owner alone."""
    path = home() / "demo_annotators.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({email: secrets.token_urlsafe(12) for email in EMAILS}, file)
        os.replace(part, path)
    found: dict[str, str] = json.loads(path.read_text())
    return found


def label(project: str, task: Task, answers: Mapping[str, str], on_progress: Callable[[int, int], None]) -> int:
    """Answer every task that waits and whose answer is known; return how many annotations were made."""
    store = ProjectStore(project)
    answered = set(store.table("annotations").read(["sample_id"], "deleted = false")["sample_id"].to_pylist())
    open_tasks = store.table("label_tasks").read(["id", "task_id", "ls_project"], "task_id IS NOT NULL").to_pylist()
    waiting = [(row["task_id"], answers[row["id"]]) for row in open_tasks if row["id"] in answers and row["id"] not in answered]
    if not waiting or ls_project_of(store) is None:
        return 0
    admin = connect()
    clients = [ensure_annotator(admin, email, password) for email, password in logins().items()]
    seconds = random.Random(0)
    made = 0
    for start in range(0, len(waiting), AT_ONCE):
        client = clients[start // AT_ONCE % len(clients)]
        batch = [
            Answer(task_id, task.write(value), round(seconds.uniform(2, 20), 1))
            for task_id, value in waiting[start : start + AT_ONCE]
        ]
        made += client.add_annotations(batch, CONNECTIONS)
        on_progress(start + len(batch), len(waiting))
    return made
