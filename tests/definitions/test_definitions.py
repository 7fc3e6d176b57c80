"""Every project loads, each asset says what it is, and a broken project does not take the others with it."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from ml_assets import settings, store
from ml_assets.definitions import defs, one, shared
from ml_assets.modalities import MODALITIES
from ml_assets.orchestration import examples
from ml_assets.project import MLProject

NOUNS = [
    "annotations", "batch_predictions", "bento", "cross_predictions", "dataset", "dataset_report", "deployment", "drift",
    "embeddings", "evaluation", "feature_set", "inference_log", "label_tasks", "labels", "live_accuracy", "model",
    "profiles", "samples", "study", "suggestions", "uncertain_predictions",
]  # fmt: skip
STAGES = {"collection", "labeling", "visualization", "features", "training", "deployment", "monitoring"}
HEAVY = (
    "torch",
    "mlflow",
    "bentoml",
    "lance",
    "whylogs",
    "lightning",
    "transformers",
    "great_expectations",
    "label_studio_sdk",
)


@pytest.fixture(scope="module", params=examples.NAMES)
def project(request: pytest.FixtureRequest) -> tuple[str, dg.Definitions]:
    name = str(request.param)
    return name, dg.Definitions.merge(MLProject(name, settings.load(name)).build_defs(), shared())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_all_examples_load(home: Path) -> None:
    for name in examples.NAMES:
        examples.use(name)
    merged = defs()
    dg.Definitions.validate_loadable(merged)
    assert {spec.key.path[0] for spec in merged.resolve_all_asset_specs()} == set(examples.NAMES)


def test_an_example_appears_when_it_is_used(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.project_names() == []
    assert not list(defs().resolve_all_asset_specs()), "a newcomer's Dagster shows what is theirs"
    examples.use("digits")
    examples.use("no_example")
    assert settings.project_names() == ["digits"]
    assert {spec.key.path[0] for spec in defs().resolve_all_asset_specs()} == {"digits"}
    (home / "store" / "tweets").mkdir(parents=True)  # of a version that noted nothing
    assert settings.project_names() == ["digits", "tweets"]
    (tmp_path / "own" / "mails").mkdir(parents=True)
    (tmp_path / "own" / "mails" / "defs.yaml").write_text(settings.file_of("newsgroups").read_text())
    monkeypatch.setattr(settings, "DEFS", tmp_path / "own")
    assert settings.project_names() == ["digits", "mails", "tweets"]
    assert settings.load("scenes").collection.modality.type == "image", "the demo runs wherever people's own projects lie"


def test_a_project_of_an_examples_name_is_peoples_own(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own" / "digits").mkdir(parents=True)
    (tmp_path / "own" / "digits" / "defs.yaml").write_text(settings.file_of("newsgroups").read_text())
    monkeypatch.setattr(settings, "DEFS", tmp_path / "own")
    assert settings.project_names() == ["digits"]
    assert settings.load("digits").collection.modality.type == "text"


def test_all_examples_are_shown_while_the_tables_cannot_be_reached(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_STORE", "s3://nowhere/tables")
    monkeypatch.setattr(store, "projects", unreachable)
    assert settings.project_names() == sorted(examples.NAMES)


def unreachable() -> list[str]:
    raise store.StoreUnavailable("no answer")


def test_keys_are_these(project: tuple[str, dg.Definitions]) -> None:
    name, definitions = project
    keys = sorted(spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs())
    assert keys == [f"{name}/{noun}" for noun in NOUNS]


def test_every_asset_says_what_it_is(project: tuple[str, dg.Definitions]) -> None:
    name, definitions = project
    for spec in definitions.resolve_all_asset_specs():
        assert spec.group_name == name
        assert spec.kinds, spec.key
        assert spec.tags["stage"] in STAGES
        assert spec.code_version
        assert len((spec.description or "").split()) > 10, spec.key


def test_every_asset_has_a_check(project: tuple[str, dg.Definitions]) -> None:
    _, definitions = project
    checked = {key.asset_key for key in definitions.resolve_asset_graph().asset_check_keys}
    assert {spec.key for spec in definitions.resolve_all_asset_specs()} - checked == set()


def test_sensors_and_schedules_run_by_themselves(project: tuple[str, dg.Definitions]) -> None:
    name, definitions = project
    sensors = {sensor.name: sensor.default_status for sensor in definitions.sensors or ()}
    assert set(sensors) == {f"{name}_new_files", f"{name}_annotations", f"{name}_automation"}
    assert set(sensors.values()) == {dg.DefaultSensorStatus.RUNNING}
    repository = definitions.get_repository_def()
    assert {s.default_status for s in repository.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    assert {job.name for job in repository.get_all_jobs()} >= {f"{kind}_{name}" for kind in ("train", "deploy", "monitor")}


def test_labels_never_start_training(project: tuple[str, dg.Definitions]) -> None:
    name, definitions = project
    sensor = next(s for s in definitions.sensors or () if s.name == f"{name}_annotations")
    assert isinstance(sensor, dg.SensorDefinition)
    assert sensor.asset_selection is not None
    graph = definitions.resolve_asset_graph()
    chosen = {key.path[-1] for key in sensor.asset_selection.resolve(graph)}
    assert chosen == {"label_tasks", "annotations", "labels", "dataset"}


def test_a_broken_project_says_what_is_wrong_and_the_others_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = (settings.DEFS / "newsgroups" / "defs.yaml").read_text()
    for name, text in (("good", good), ("bad", good.replace("modality: text", "modality: smell"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "defs.yaml").write_text(text)
    monkeypatch.setattr(settings, "DEFS", tmp_path)
    merged = defs()
    dg.Definitions.validate_loadable(merged)
    keys = {spec.key.to_user_string(): spec.description for spec in merged.resolve_all_asset_specs()}
    assert set(keys) == {f"good/{noun}" for noun in NOUNS} | {"bad/broken"}
    choices = ", ".join(sorted(MODALITIES))
    assert f"bad/defs.yaml:5: collection.modality: unknown modality 'smell': choose one of {choices}" in str(keys["bad/broken"])
    assert len(one("good").assets or ()) == len(NOUNS)


def test_heavy_packages_are_not_imported(home: Path) -> None:
    for name in examples.NAMES:
        examples.use(name)
    code = f"import sys; from ml_assets.definitions import defs; defs(); print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
