"""Every kind of file in a home, and what is promised when one is empty, cut, zero-filled, overwritten or gone."""

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Promise:
    """A kind of file.

    Args:
        kind: Its name.
        pattern: Its paths, relative to the home.
        promise: What holds when it is damaged, in words; on top of what always holds: no traceback, `status` answers, nothing
            that was acknowledged and stands elsewhere is lost or doubled.
        alone: Whether it is the only place of what it holds: then that much may be gone, and is told. Of `lines` those that are
            whole must come in.
        touches: Whose commands may say a sentence about it: of `nobody`, of its `own` project, or of `all`.
        serves: Whether the endpoint serves whomever it does not touch, and with `all` everybody; keys it cannot do without.
        run: Whether `run` is always tried on it, though that takes longest.
    """

    kind: str
    pattern: str
    promise: str
    alone: Literal["", "lines", "table"] = ""
    touches: Literal["nobody", "own", "all"] = "own"
    serves: bool = True
    run: bool = False


FOLLOWS = "follows from the rest: made again, nothing is different"
NOT_READ = "not read by us: nothing is different"
PROMISES = (
    Promise("keys", r"keys\.json", "a sentence; keys are made anew, the other commands go on", touches="all", serves=False),
    Promise("keys of commands", r"command_keys\.json", "a sentence of `predict`, or made anew", touches="all"),
    Promise("credentials", r"credentials", "a sentence that says to restore it; the rest goes on", touches="all"),
    Promise("supervisor's state", r"supervisor\.json", FOLLOWS, touches="nobody"),
    Promise("heartbeats", r"serving/.*\.json", FOLLOWS, touches="nobody"),
    Promise("locks", r".*\.lock", FOLLOWS, touches="nobody"),
    Promise("pushed samples", r"inbox/\w+/samples/.*", "good lines come in, bad ones are told", alone="lines", run=True),
    Promise("pushed labels", r"inbox/\w+/labels/.*", "good lines come in, bad ones are told", alone="lines", run=True),
    Promise("how far segments are adopted", r"inference/\w+/adopted\.json", FOLLOWS, touches="nobody"),
    Promise("segments", r"inference/\w+/.*\.jsonl", "its whole lines come in, the others are kept in `.bad`", alone="lines"),
    Promise("damaged lines put aside", r"inference/\w+/.*\.bad", NOT_READ, touches="nobody"),
    Promise("mark of the last pull", r"store/\w+/label_studio\.json", "a sentence, or pulled again from the beginning"),
    Promise("Optuna's journal", r"optuna/\w+/journal\.log.*", "a sentence, or a new study; other projects go on"),
    Promise("checkpoints", r"optuna/\w+/.*\.(ckpt|part)", "the training begins anew"),
    Promise("tables: hints", r"store/.*/(_transactions/.*|_versions/latest_version_hint\.json)", FOLLOWS, touches="nobody"),
    Promise("tables: versions", r"store/.*\.lance/(_versions|_refs|_indices)/.*", "the project says so", alone="table"),
    Promise("tables: data", r"store/.*\.lance/.*", "the project says so in one sentence; others go on", alone="table"),
    Promise("models in Bentos", r"bentoml/bentos/.*/src/model/.*", "the endpoint says so and serves the others"),
    Promise("rest of Bentos", r"bentoml/bentos/.*", NOT_READ, touches="nobody"),
    Promise("the endpoint's counters", r"bentoml/.*", "counted anew", touches="all"),
    Promise("reports", r"reports/.*", "shown as it is until the next one is made"),
    Promise("Dagster's settings", r"dagster/dagster\.yaml", "a sentence of `run` and `up`", touches="all", run=True),
    Promise("Dagster's databases", r"dagster/(history|schedules)/.*", "a sentence of `run`", touches="all", run=True),
    Promise("Dagster's logs of steps", r"dagster/.*", NOT_READ, touches="nobody"),
    Promise("MLflow's database", r"mlflow/mlflow\.db.*", "MLflow's own server says so; the endpoint goes on", touches="all"),
    Promise("MLflow's files", r"mlflow/.*", "told when the model is next loaded; what serves goes on"),
    Promise("Label Studio's database", r"label_studio/label_studio\.sqlite3.*", "its server says so", touches="all"),
    Promise("rest of Label Studio", r"label_studio/.*", NOT_READ, touches="nobody"),
    Promise("media", r"media/.*", NOT_READ, touches="nobody"),
    Promise("the sources of the test's project", r"data/.*", "told as unreadable, or read again", run=True),
    Promise("logs", r"logs/.*", NOT_READ, touches="nobody"),
    Promise("temporary files", r"tmp/.*", NOT_READ, touches="nobody"),
    Promise("the number of the last push", r"inbox/\w+/arrivals", "goes on from the names of the pushes", touches="nobody"),
    Promise("what was seen in Label Studio", r"store/\w+/label_studio_seen\.json", "begun anew"),
)  # fmt: skip


def of(path: str) -> Promise | None:
    """What is promised of the file; None if its kind is unknown, which is to be seen to."""
    return next((promise for promise in PROMISES if re.fullmatch(promise.pattern, path)), None)


def table() -> str:
    """The promises, one line each."""
    return "\n".join(f"{p.kind:<34} {f'tells {p.touches}':<13} {p.promise}" for p in PROMISES)
