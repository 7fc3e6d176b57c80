"""Collects in a process of its own, so that a crash is seen: `python -m security.collector PROJECT`, or `MODALITY FOLDER`.

With a folder each of its files is one sample of a project in a home that is gone afterwards. Ends with 1 if a file became
neither a sample nor a reject, with 2 if the process took more memory than it may.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from ml_assets import settings
from ml_assets.collection.collect import collect
from ml_assets.collection.settings import CollectionSettings
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleChoice

from .target import CLASSES

MOST_KILOBYTES = 2 * 2**20
"""Of a process that collects: libraries take about a quarter of it."""


def main() -> int:
    """0 if all that was there is a sample or a reject."""
    if len(sys.argv) == 2:
        project = settings.load(sys.argv[1])
        _collect(ProjectStore(sys.argv[1]), project.collection, project.labeling.task)
        return 0
    with tempfile.TemporaryDirectory(prefix="ml-assets-home-") as home:
        os.environ["ML_ASSETS_HOME"] = home
        os.environ.pop("ML_ASSETS_STORE", None)
        source = {"type": "files", "name": "mutated", "path": sys.argv[2]}
        found = CollectionSettings.model_validate({"modality": sys.argv[1], "sources": [source]})
        done = _collect(ProjectStore("mutated"), found, SingleChoice(classes=CLASSES))
    there = len(list(Path(sys.argv[2]).iterdir()))
    if done.received != there or done.problems:
        print(f"{there} files, {done.received} records: {done.problems[:3]}", file=sys.stderr)
        return 1
    # not getrusage, whose figure a process inherits from the one that started it
    taken = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    if taken > MOST_KILOBYTES:
        print(f"it took {taken >> 10} MB of memory, more than {MOST_KILOBYTES >> 10}", file=sys.stderr)
        return 2
    return 0


def _collect(store: ProjectStore, found: CollectionSettings, task: Any) -> Any:
    return collect(store, found, task, now(), lambda _: None)


if __name__ == "__main__":
    sys.exit(main())
