"""Reads and validates a project's YAML as typed settings with one attribute per stage; does not import Dagster."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import ValidationError, model_validator

from ml_assets.collection.settings import CollectionSettings
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.errors import InvalidValue, MLAssetsError, unknown
from ml_assets.features.settings import FeaturesSettings
from ml_assets.labeling.settings import LabelingSettings
from ml_assets.modalities import Modality
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.orchestration import examples
from ml_assets.registry import Settings
from ml_assets.state.names import PROJECT_NAME
from ml_assets.tasks import TASKS, ClassificationTask, Task
from ml_assets.training.architectures import ARCHITECTURES, Architecture
from ml_assets.training.candidates import name_of
from ml_assets.training.settings import TrainingSettings
from ml_assets.visualization.settings import VisualizationSettings

DEFS = Path(os.environ.get("ML_ASSETS_DEFS") or examples.FOLDER)
"""Where projects are declared, one folder each: `ml_assets/defs` in the checkout, or `ML_ASSETS_DEFS`."""
TEMPLATE = Path(__file__).parent / "new_project.yaml"
COMPONENT = "ml_assets.project.MLProject"
MEANT = {
    "tuple_type": "a list, such as [one, two]",
    "model_type": "a mapping with options",
    "dict_type": "a mapping, such as {name: value}",
    "string_type": "text: put it into quotes",
}
"""Words for types in messages, by the error types of pydantic, which names Python's types."""


class ProjectError(MLAssetsError, ValueError):
    """A project's YAML is wrong; the message is one sentence with the file, the line and the choices."""


class _Mistake(InvalidValue):
    """Options that contradict each other, with their place in the YAML, such as `labeling.task`."""

    def __init__(self, place: str, sentence: str):
        super().__init__(sentence)
        self.place = place.split(".")


class ProjectSettings(Settings):
    """The settings of a machine-learning project: one attribute for each of the seven stages, in the order of the data flow."""

    collection: CollectionSettings
    """The sources of samples, and which samples are accepted."""
    labeling: LabelingSettings
    """The label task for annotators, and which samples they see."""
    visualization: VisualizationSettings = VisualizationSettings()
    """The content of the dataset report."""
    features: FeaturesSettings = FeaturesSettings()
    """The inputs of the model from each sample, and the classes that it distinguishes."""
    training: TrainingSettings = TrainingSettings()
    """How models are trained, and the scores that a model must reach before it may serve."""
    deployment: DeploymentSettings = DeploymentSettings()
    """How the model is served."""
    monitoring: MonitoringSettings = MonitoringSettings()
    """What is monitored while the model serves."""

    @model_validator(mode="after")
    def _fit_together(self) -> "ProjectSettings":
        modality, task = self.collection.modality, self.labeling.task
        if task.modalities and modality.type not in task.modalities:
            choices = ", ".join(
                sorted(n for n, t in TASKS.classes.items() if modality.type in (t.modalities or [modality.type]))
            )
            raise _Mistake(
                "labeling.task",
                f"the task {task.type!r} cannot be asked of samples that are {modality.type}: choose one of {choices}",
            )
        for made in self.training.architectures:
            if not reads(made, modality, task):
                choices = ", ".join(
                    sorted(name for name, other in ARCHITECTURES.classes.items() if reads(other, modality, task))
                )
                raise _Mistake(
                    "training.architecture",
                    f"the architecture {made.type!r} does not answer {task.type} of samples that are {modality.type}: "
                    f"name one of {choices} under training.architecture",
                )
        for options in self.features.each().values():
            for name in options.inputs:
                if name not in modality.input_names:
                    raise _Mistake("features", unknown("input", name, modality.input_names))
        learnt = {name: options.targets(task.classes) for name, options in self.features.each().items()}
        for targets in learnt.values():
            least = 1 if task.may_be_empty else 2
            if (left := len(set(targets.values()))) < least:
                raise _Mistake("features", f"features leaves {left} of the classes to learn: keep at least {least}")
        names = [name_of(name, made.type) for name in learnt for made in self.training.architectures]
        if self.training.serve is not None and self.training.serve not in names:
            raise _Mistake("training.serve", f"training.serve names {self.training.serve!r}: choose one of {', '.join(names)}")
        if self.training.serve is None and len({json.dumps(targets, sort_keys=True) for targets in learnt.values()}) > 1:
            raise _Mistake(
                "training",
                f"the feature sets learn different classes, so that their scores cannot be compared: "
                f"say with training.serve which model may serve, one of {', '.join(names)}",
            )
        metrics = task.metric_names
        for name in self.training.minimum:
            if name not in metrics:
                raise _Mistake(f"training.minimum.{name}", unknown("metric", name, metrics))
        return self


def reads(architecture: Architecture | type[Architecture], modality: Modality, task: Task) -> bool:
    """Whether the architecture supports the modality and the task."""
    answers = task.type in architecture.tasks if architecture.tasks else isinstance(task, ClassificationTask)
    return answers and (not architecture.modalities or modality.type in architecture.modalities)


def project_names() -> list[str]:
    """The sorted names of the user's own projects (folders of `DEFS` with a `defs.yaml`) and of the examples in use."""
    known = _declared()
    unused = set(examples.NAMES) - set(examples.in_use())
    return sorted(name for name, path in known.items() if name not in unused or path.parents[1] != examples.FOLDER)


def file_of(name: str) -> Path:
    """The path of the `defs.yaml` of a project or example. Raises `ProjectError` if there is none of that name."""
    known = _declared()
    if name not in known:
        choices = list(known) if DEFS == examples.FOLDER else project_names()
        none = f"unknown project {name!r}: none is declared yet"
        raise ProjectError(unknown("project", name, choices) if choices else none)
    return known[name]


def _declared() -> dict[str, Path]:
    """The path of each `defs.yaml` by project name: all examples, and the user's own projects in `DEFS`."""
    found = {name: examples.FOLDER / name / "defs.yaml" for name in examples.NAMES}
    found |= {path.parent.name: path for path in DEFS.glob("*/defs.yaml")}
    return dict(sorted(found.items()))


def load(name: str) -> ProjectSettings:
    """Read the settings of a declared project by its name. Raises `ProjectError`."""
    return read(file_of(name))


def short(path: Path) -> str:
    """The last three parts of the path of a `defs.yaml`, as messages show it."""
    return "/".join(path.parts[-3:])


def read(path: Path) -> ProjectSettings:
    """Read and validate a `defs.yaml`. Raises `ProjectError` with the line of the first mistake."""
    shown = short(path)
    if not PROJECT_NAME.fullmatch(path.parent.name):
        raise ProjectError(f"{shown}: the folder's name {path.parent.name!r} is the project's: use a-z, 0-9 and _")
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        if twice := _twice(tree):
            raise ProjectError(f"{shown}:{twice.start_mark.line + 1}: {twice.value!r} stands here twice: keep one")
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProjectError(f"{shown}:{line}: not YAML: {error.problem or error}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ProjectError(f"{shown}:{line}: not YAML: it holds the character {chr(error.character)!a}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{shown} cannot be read: {error}") from error
    except ProjectError:
        raise
    except (ValueError, RecursionError) as error:  # such as 2024-99-99, which YAML takes for a date
        raise ProjectError(f"{shown}:{_line_of_bad_value(text)}: not YAML: {error}") from error
    if (
        not isinstance(content, dict)
        or content.get("type") != COMPONENT
        or set(content) - {"type", "attributes", "requirements"}
    ):
        raise ProjectError(f"{shown}:1: needs `type: {COMPONENT}` and `attributes`, and nothing else")
    try:
        return ProjectSettings.model_validate(content.get("attributes") or {})
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # a misspelt stage is also a missing one
        cause = first.get("ctx", {}).get("error")
        place = cause.place if isinstance(cause, _Mistake) else [str(part) for part in first["loc"]]
        line = _line_of(tree, ["attributes", *place])
        raise ProjectError(f"{shown}:{line}: {'.'.join(place) or 'attributes'}: {_sentence(first)}") from error


def write_new(folder: Path) -> Path:
    """Write a `defs.yaml` with every stage, to fill in, into the folder of a new project, atomically; return its path."""
    text = TEMPLATE.read_text(encoding="utf-8").replace("PROJECT", folder.name)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".defs.yaml.{os.getpid()}"
    part.write_text(text, encoding="utf-8")
    os.replace(part, folder / "defs.yaml")
    return folder / "defs.yaml"


def _sentence(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return unknown("option", str(error["loc"][-1]), _choices(error["loc"][:-1]))
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "too_short":
        return f"needs at least {error['ctx']['min_length']}, has {error['ctx']['actual_length']}"
    if error["type"] in MEANT:
        return f"should be {MEANT[error['type']]}, not {shorten(repr(error['input']), 80)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in ("value_error", "unknown_option"):  # ours
        return message
    return f"{message[:1].lower()}{message[1:]}, not {shorten(repr(error['input']), 80)}"


def _choices(place: tuple[Any, ...]) -> list[str]:
    """The names of the options that are allowed at a place in the YAML."""
    model: Any = ProjectSettings
    for part in place:
        if get_origin(model) is dict:  # named parts, all of one kind
            model = get_args(model)[1]
            model = get_args(model)[0] if get_origin(model) is Annotated else model
            continue
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))


def _nodes(tree: Any) -> Iterator[Any]:
    """Iterate over every node of the YAML once, even if aliases form a cycle."""
    waiting, seen = [tree], set[int]()
    while waiting:
        node = waiting.pop()
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            yield node
            if isinstance(node, yaml.MappingNode):
                waiting += [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                waiting += node.value


def _twice(tree: Any) -> Any:
    """The first key that occurs twice in its mapping, of which YAML would silently keep the last; None if there is none."""
    for node in _nodes(tree):
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        return key
                    seen.add(key.value)
    return None


def _line_of_bad_value(text: str) -> int:
    """The line, from 1, of the first value that YAML cannot convert, such as an impossible date."""
    try:
        scalars = [n for n in _nodes(yaml.compose(text, Loader=yaml.SafeLoader)) if isinstance(n, yaml.ScalarNode)]
    except RecursionError:
        return 1
    for node in sorted(scalars, key=lambda n: n.start_mark.line):
        try:
            yaml.SafeLoader("").construct_object(node)
        except ValueError:
            return int(node.start_mark.line) + 1
    return 1


def _line_of(tree: Any, place: list[str]) -> int:
    """The line, from 1, of the deepest part of the place that exists in the YAML."""
    node, line = tree, 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [(k, v) for k, v in node.value if k.value == part]
            if not pairs:
                break
            line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line
