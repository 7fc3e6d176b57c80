"""All tables of the project as plain values that must be the same however often something was killed.

What legitimately differs between two runs is replaced by what it stands for:

- times, and the day in ids and in columns: when it was;
- the home folder in paths, and the time of change in the fingerprints of files: where it was, and when;
- numbers that Label Studio gives to tasks and annotations, in the order of arrival: `annotation of <sample>`;
- tags of datasets, and with them ids of feature sets and studies, are digests of these numbers: a digest of the same content
  without them;
- versions of models count every model that MLflow ever registered, also for a process that was killed before it wrote its row
  down: their rank among the models in the tables; the same for Bentos, which are named after them;
- ids of MLflow runs, of predictions and of deployments are drawn or counted anew by each attempt: what they belong to;
- deployments that were given up are not compared, only what served, in its order;
- predictions whose answer never reached the application, because the worker died in between, are extra: there may be no more
  of them than requests that were repeated, and what is counted over the log is then not compared (`profiles`, `drift`,
  `live_accuracy`);
- files of the inbox are named after their content, and with what monitoring sends back goes the id of the prediction;
- serialised whylogs profiles hold their time and the order of rows: their summary.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ml_assets.monitoring import profiles
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore

from . import client

Tables = dict[str, list[dict[str, Any]]]
DROPPED = {
    "label_tasks": {"task_id", "ls_project"},
    "models": {"run_id", "code", "files"},  # digests of a description with the run and a time in it
    "studies": {"run_id"},
    "bentos": {"bytes", "files"},  # it holds times, whose length varies
    "profiles": {"rows_digest"},
    "deployments": {"requested_by", "reason", "checks"},
    "receipts": {"id"},  # a digest of the path
    "rejects": {"id"},
    "given_labels": {"id", "arrival"},  # a digest of the path; how many pushes came before
}
"""Columns with nothing but such values. Whether they fit together is looked at in `consistency.py`."""
OVER_THE_LOG = ("profiles", "drift", "live_accuracy")


PUSH = re.compile(r"(/inbox/\w+/samples/)(?:[0-9]{16}-)?[0-9a-f]{32}")


def snapshot(store: ProjectStore, home: Path, application: Path) -> Tables:
    """Every table under the project's folder, by name; rows in the order of their first column."""
    names = sorted(
        path.relative_to(store.uri).as_posix().removesuffix(".lance")
        for path in Path(store.uri).rglob("*.lance")
        if path.is_dir()
    )
    raw = {name: _read(f"{store.uri}/{name}.lance") for name in names}
    known = _Known(store, raw, home, application)
    raw["deployments"] = [row for row in raw["deployments"] if _served(row)]
    made: Tables = {}
    for name, rows in raw.items():
        dropped = DROPPED.get(name, set())
        made[name] = sorted(
            ({column: known.plain(column, value) for column, value in row.items() if column not in dropped} for row in rows),
            key=lambda row: [str(row[column]) for column in row if column != "vector"],
        )
    return made


def differences(calm: Tables, shaken: Tables) -> list[str]:
    """What is not the same, one sentence per table."""
    found = [f"table {name} is only in one of them" for name in sorted(calm.keys() ^ shaken.keys())]
    answered = [row for row in shaken["inference_log"] if not row["id"].startswith("extra")]
    extra, shaken = len(answered) < len(shaken["inference_log"]), shaken | {"inference_log": answered}
    for name in sorted(calm.keys() & shaken.keys()):
        if extra and name in OVER_THE_LOG:
            continue
        before, after = Counter(map(_line, calm[name])), Counter(map(_line, shaken[name]))
        if before != after:
            lost, new = list((before - after).elements()), list((after - before).elements())
            found.append(f"{name}: {len(lost)} rows lost, such as {lost[:1]}; {len(new)} new, such as {new[:1]}")
    return found


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=str)


def _read(uri: str) -> list[dict[str, Any]]:
    """The rows without times."""
    import lance

    table = lance.dataset(uri).to_table()
    return table.select([f.name for f in table.schema if not pa.types.is_timestamp(f.type)] + _order(table)).to_pylist()


def _order(table: pa.Table) -> list[str]:
    """The one time that is read, to rank models by."""
    return ["at"] if "weights" in table.column_names else []


def _served(row: Mapping[str, Any]) -> bool:
    return row["state"] == "live" or (row["state"] == "replaced" and str(row["reason"]).startswith("replaced by"))


def _rounded(value: Any) -> Any:
    """Sums of fractions differ in their last digits with the order of the rows."""
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return float(f"{value:.12g}") if isinstance(value, float) else value


class _Known:
    """What each of the ids of one home stands for."""

    def __init__(self, store: ProjectStore, raw: Tables, home: Path, application: Path):
        self.home = str(home)
        self.words: dict[str, str] = {}
        for row in raw["annotations"]:
            if row["id"].startswith("ls-"):
                self.words[row["id"]] = f"annotation of {row['sample_id']} by {row['labeler']}"
        for tag in store.table("dataset").tags():
            lines = sorted(self.replaced(_line(row)) for row in store.table("dataset").read(tag=tag).to_pylist())
            self.words[tag] = f"dataset {content_id(*lines)}"
        for row in raw["feature_sets"]:
            self.words[row["id"]] = f"feature set of {self.words[row['dataset']]}"
        for row in raw["studies"]:
            self.words[row["id"]] = f"study of {self.words[row['feature_set']]}"
            self.words |= {trial["run_id"]: "run" for trial in json.loads(row["trials"])}
        models = sorted(raw["models"], key=lambda row: row["at"])
        for rank, row in enumerate(models, 1):
            self.words[row["id"]] = f"model {rank}"
            self.words[row["uri"]] = f"address of model {rank}"
            row.pop("at")
        for row in raw["bentos"]:
            self.words[row["id"]] = f"Bento of {self.words[row['model']]}"
            self.words[row["id"].replace(":", "/")] = self.words[row["id"]]  # in paths
        for rank, row in enumerate(filter(_served, sorted(raw["deployments"], key=_number)), 1):
            self.words[row["id"]] = f"deployment {rank}"
        answered = {entry["id"]: entry["text"] for entry in client.read(application / "acknowledged.jsonl")}
        for row in raw["inference_log"]:
            kind = "prediction" if row["id"] in answered else "extra prediction"
            self.words[row["id"]] = f"{kind} of {row['sample_id']}"
        for row in raw["feedback"]:
            self.words[row["id"]] = f"feedback on {self.words[row['prediction_id']]}"
        self.pattern = self._pattern()

    def _pattern(self) -> re.Pattern[str]:
        longest = sorted(self.words, key=len, reverse=True)
        return re.compile("|".join([rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])", r"\d{4}-\d\d-\d\d"]))

    def replaced(self, text: str) -> str:
        """The text with every id in it replaced."""
        text = text.replace(self.home, "<home>")
        return self._pattern().sub(lambda match: self.words.get(match[0], "<day>"), text) if self.words else text

    def plain(self, column: str, value: Any) -> Any:
        """A value without what legitimately differs."""
        if column == "fingerprint":
            return str(value).split("-")[0]  # the size
        if column == "profile":
            return _rounded(profiles.summary(value))
        if not isinstance(value, str):
            return value
        text = PUSH.sub(r"\1<push>", value.replace(self.home, "<home>"))
        text = self.pattern.sub(lambda match: self.words.get(match[0], "<day>"), text)
        return json.dumps(sorted(json.loads(text))) if column == "annotation_ids" else text


def _number(row: Mapping[str, Any]) -> int:
    return int(row["id"].rsplit("-d", 1)[1])
