"""All examples in one installation: each collects by itself, all at once, and a broken one leaves the others working."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.media import drawn, recorded, saved, tone

from ml_assets import settings
from ml_assets.demo import EXAMPLES
from ml_assets.demo.tables import Sample, write
from ml_assets.settings import ProjectSettings
from ml_assets.tasks import SingleLabelTask

ML_ASSETS = str(Path(sys.executable).with_name("ml-assets"))
BROKEN = "digits"
SAMPLES = 12


def contents(project: ProjectSettings, seed: int) -> list[Any]:
    """Samples as the project's modality has them: text, bytes, or an object of parts."""
    kind = project.collection.modality
    if kind.type == "image":
        return [saved(drawn("circle", seed=100 * seed + i)) for i in range(SAMPLES)]
    if kind.type == "audio":
        return [recorded(tone(300 + 10 * i, 0.3, 8_000, seed=100 * seed + i), 8_000) for i in range(SAMPLES)]
    words = np.random.default_rng(seed).permutation(1000)[:SAMPLES]
    if kind.type == "mixed":
        return [{"text": f"word {word}", "retweets": int(word), "posted": "2016-09-28 00:22:34"} for word in words]
    return [f"word {word} of {seed}" for word in words]


def label_of(project: ProjectSettings) -> str:
    """A label that the project's task takes."""
    task = project.labeling.task
    if isinstance(task, SingleLabelTask) or task.may_be_empty:
        return task.classes[0] if isinstance(task, SingleLabelTask) else "[]"
    return json.dumps([{"start": 0, "end": 4, "label": task.classes[0]}])


def fill(home: Path, project: ProjectSettings) -> int:
    """Write a small file for each of the project's sources; how many samples that makes."""
    for seed, source in enumerate(project.collection.sources):
        options = source.model_dump()
        path = Path(options["path"].replace("$ML_ASSETS_HOME", str(home)))
        made, label = contents(project, seed), label_of(project)
        if path.suffix == ".parquet":
            write(path, [Sample(content, label, f"group {i}") for i, content in enumerate(made)])
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [content if isinstance(content, dict) else {options["content"]: content} for content in made]
        import pandas as pd

        named = [n for n in (options["label"], options["group"]) if n]
        columns = options["content"] if isinstance(options["content"], list | tuple) else [options["content"]]
        table = pd.DataFrame(rows).reindex(columns=[*columns, *options["columns"]])
        table.assign(**dict.fromkeys(named, label)).to_csv(path, index=False)
    return SAMPLES * len(project.collection.sources)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    ports = {f"ML_ASSETS_{name}_PORT": "1" for name in ("DAGSTER", "LABEL_STUDIO", "MLFLOW", "ENDPOINT", "EXPLORER")}
    shutil.copytree(settings.DEFS, tmp_path / "defs", ignore=shutil.ignore_patterns("__pycache__"))
    homes = {"ML_ASSETS_HOME": str(tmp_path / "home"), "ML_ASSETS_DEFS": str(tmp_path / "defs")}
    return {**os.environ, **homes, **ports}


def test_all_collect_at_once_and_a_broken_one_is_told(tmp_path: Path, environment: dict[str, str]) -> None:
    expected = {name: fill(tmp_path / "home", settings.load(name)) for name in EXAMPLES}
    yaml = tmp_path / "defs" / BROKEN / "defs.yaml"
    yaml.write_text(yaml.read_text().replace("modality: image", "modality: smell"))
    running = {
        name: subprocess.Popen(
            [ML_ASSETS, "run", name, "collection", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for name in EXAMPLES
    }
    ended = {name: (process.communicate(timeout=300), process.returncode) for name, process in running.items()}
    for name, ((said, problem), code) in ended.items():
        if name == BROKEN:
            assert code != 0
            assert b"unknown modality 'smell'" in problem
        else:
            assert code == 0, problem.decode()
            assert f"{name}/samples" in json.load(io.BytesIO(said))["materialized"]
    done = subprocess.run([ML_ASSETS, "status", "--json"], env=environment, capture_output=True, check=True, timeout=120)
    projects = json.loads(done.stdout)["projects"]
    assert set(projects) == set(EXAMPLES)
    assert "unknown modality 'smell'" in projects.pop(BROKEN)["broken"]
    assert {name: found["samples"] for name, found in projects.items()} == {n: c for n, c in expected.items() if n != BROKEN}
