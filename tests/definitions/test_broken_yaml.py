"""A wrong YAML is one sentence with the file, the line and the choices, and no other project suffers from it."""

# ruff: noqa: E501 (one mistake, one line)

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ml_assets import settings
from ml_assets.commands.runner import runner
from ml_assets.definitions import defs, one
from ml_assets.project import MLProject
from ml_assets.settings import ProjectError, read

GOOD = """\
type: ml_assets.project.MLProject
attributes:
  collection:
    modality: text
    sources:
      - type: table
        name: first
        path: $ML_ASSETS_HOME/data/*.csv
  labeling:
    task:
      type: single_choice
      classes: [cat, dog, bird]
    question: Which animal?
    queue:
      size: 40
  features:
    encoder: minilm
  training:
    architecture: mlp
    trials: 3
    minimum:
      macro_f1: 0.9
  monitoring:
    schedule: 0 * * * *
"""
STAGES = "collection, labeling, visualization, features, training, deployment, monitoring"
TABLE = "name, split, group_from_source, hint, path, format, content, file_columns, folder, label, rename, label_unit, labeler, split_column, splits, group, columns"
MLP = "learning_rate, weight_decay, warmup, label_smoothing, epochs, batch_size, hidden, dropout"

MISTAKES: dict[str, tuple[str, str, int, str]] = {
    # what is replaced, by what, the line, the sentence
    "stage": ("  training:", "  trainning:", 18, f"trainning: unknown option 'trainning': choose one of {STAGES}"),
    "option": ("    trials: 3", "    trails: 3", 20, "training.trails: unknown option 'trails': choose one of architecture, compare, serve, trials, "),
    "deep option": ("      size: 40", "      sice: 40", 15, "labeling.queue.sice: unknown option 'sice': choose one of size, total,"),
    "plug-in": ("architecture: mlp", "architecture: mpl", 19, "training.architecture: unknown architecture 'mpl': choose one of audio_cnn, "),
    "option of a plug-in": (
        "architecture: mlp", "architecture:\n      type: mlp\n      hiden: 3", 21,
        f"training.architecture.hiden: unknown option 'hiden': choose one of {MLP}",
    ),
    "value of a plug-in": (
        "architecture: mlp", "architecture:\n      type: mlp\n      hidden: many", 21,
        "training.architecture.hidden: input should be a valid integer, unable to parse string as an integer, not 'many'",
    ),
    "source": ("type: table", "type: tabel", 6, "collection.sources.0: unknown source 'tabel': choose one of files, table"),
    "option of a source": ("        path:", "        pth:", 8, f"collection.sources.0.pth: unknown option 'pth': choose one of {TABLE}"),
    "missing in a source": ("        name: first\n", "", 6, "collection.sources.0.name: is missing"),
    "no type": ("type: table", "kind: table", 6, "collection.sources.0: a source needs a type: choose one of files, table"),
    "misspelt stage": ("  labeling:", "  labelling:", 9, f"labelling: unknown option 'labelling': choose one of {STAGES}"),
    "missing option": ("    modality: text\n", "", 3, "collection.modality: is missing"),
    "number": ("trials: 3", "trials: several", 20, "training.trials: input should be a valid integer"),
    "bound": ("trials: 3", "trials: 0", 20, "training.trials: input should be greater than or equal to 1, not 0"),
    "word": ("      size: 40", "      strategy: divers", 15, "input should be 'diverse', 'random' or 'uncertain', not 'divers'"),
    "metric": ("macro_f1: 0.9", "f1: 0.9", 22, "training.minimum.f1: unknown metric 'f1': choose one of accuracy, macro_f1"),
    "share": ("macro_f1: 0.9", "macro_f1: 90", 21, "the minimum of macro_f1 is 90.0: it must lie between 0 and 1"),
    "class twice": ("[cat, dog, bird]", "[cat, dog, cat]", 12, "labeling.task.classes: the class 'cat' stands twice in classes"),
    "one class": ("[cat, dog, bird]", "[cat]", 12, "labeling.task.classes: needs at least 2, has 1"),
    "no list": ("[cat, dog, bird]", "cat", 12, "labeling.task.classes: should be a list, such as [one, two], not 'cat'"),
    "no text": ("[cat, dog, bird]", "[yes, no]", 12, "labeling.task.classes: YAML reads yes, no, on, off, true and false as True"),
    "no mapping": ("      macro_f1: 0.9", "      0.9", 21, "training.minimum: should be a mapping, such as {name: value}, not 0.9"),
    "implicit source": ("type: table", "type: upload", 6, "collection.sources.0: unknown source 'upload': choose one of files, table"),
    "task of another modality": (
        "type: single_choice", "type: boxes", 10,
        "the task 'boxes' cannot be asked of samples that are text: choose one of multiple_choice, ",
    ),
    "network of another modality": (
        "architecture: mlp", "architecture: image_cnn", 19,
        "the architecture 'image_cnn' does not answer single_choice of samples that are text: name one of bilstm, fine_tune, ",
    ),
    "class nowhere": ("encoder: minilm", "keep: [cat, cow]", 2, "features names the class 'cow': choose one of cat, dog, bird"),
    "input nowhere": ("encoder: minilm", "inputs: [price]", 16, "unknown input 'price': choose one of content"),
    "parts of a text": (
        "data/*.csv", "data/*.csv\n        content: [text, price]", 3,
        "the source 'first' names the part 'text' under content: text has none, name one column",
    ),
    "unknown part": (
        "modality: text", "modality: {type: mixed, parts: {body: words}}", 4,
        "unknown kind of part 'words': choose one of number, category, time, text, image, audio",
    ),
    "option of a feature set": (
        "encoder: minilm", "sets:\n      small:\n        kep: [cat, dog]", 19,
        "features.sets.small.kep: unknown option 'kep': choose one of encoder, inputs, keep, merge",
    ),
    "sets that cannot be compared": (
        "encoder: minilm", "sets:\n      all: {}\n      small: {keep: [cat, dog]}", 20,
        "say with training.serve which model may serve, one of all/mlp, small/mlp",
    ),
    "serves nothing": ("trials: 3", "serve: mpl", 20, "training.serve names 'mpl': choose one of mlp"),
    "one class left": ("encoder: minilm", "keep: [cat]", 16, "features leaves 1 of the classes to learn: keep at least 2"),
    "key twice": ("    trials: 3", "    trials: 3\n    trials: 4", 21, "'trials' stands here twice: keep one"),
    "empty stage": ("    schedule: 0 * * * *\n", "", 23, "monitoring: "),
    "cron": ("0 * * * *", "hourly", 24, "the schedule 'hourly' is not cron text"),
    "cron beyond": ("0 * * * *", "99 99 * * *", 0, "Found invalid cron schedule '99 99 * * *'"),
    "tab": ("    trials", "\t  trials", 20, "not YAML: found character '\\t' that cannot start any token"),
    "bracket": ("[cat, dog, bird]", "[cat, dog", 13, "not YAML: "),
    "no such date": ("Which animal?", "2026-99-99", 13, "not YAML: month must be in 1..12"),
    "control character": ("Which animal?", "Which\x07animal?", 13, r"not YAML: it holds the character '\x07'"),
    "python": ("Which animal?", "!!python/object/apply:os.getcwd []", 13, "not YAML: could not determine a constructor"),
    "nesting": ("[cat, dog, bird]", "[" * 5000, 1, "not YAML: maximum recursion depth exceeded"),
    "two documents": ("  monitoring:", "---\n  monitoring:", 23, "not YAML: but found another document"),
    "component": ("project.MLProject", "project.Project", 1, "needs `type: ml_assets.project.MLProject` and `attributes`"),
    "list": ("attributes:\n", "attributes: []\nother:\n", 1, "needs `type: ml_assets.project.MLProject` and `attributes`, and nothing else"),
    "everything": (GOOD, "", 1, "needs `type: ml_assets.project.MLProject` and `attributes`"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A defs folder with a good project beside which others can be made."""
    monkeypatch.setattr(settings, "DEFS", tmp_path / "defs")
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    made = tmp_path / "defs"
    write(made, "good", GOOD)
    return made


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_good_one_is_good(folder: Path) -> None:
    made = read(folder / "good" / "defs.yaml")
    assert (made.training.trials, made.labeling.task.classes) == (3, ("cat", "dog", "bird"))
    assert settings.project_names() == ["good"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_with_its_line(folder: Path, mistake: str) -> None:
    old, new, line, sentence = MISTAKES[mistake]
    assert old in GOOD
    write(folder, "bad", GOOD.replace(old, new, 1))
    with pytest.raises(ProjectError) as caught:
        MLProject.declared("bad")
    found = str(caught.value)
    assert found.startswith(f"defs/bad/defs.yaml:{line}: " if line else "defs/bad/defs.yaml: ")
    assert sentence in found
    assert len(found.splitlines()) == 1
    assert len(found) < 400


@pytest.mark.parametrize("mistake", ["stage", "cron beyond", "control character", "no such date", "nesting"])
def test_the_others_still_load(folder: Path, mistake: str) -> None:
    old, new, *_, sentence = MISTAKES[mistake]
    write(folder, "bad", GOOD.replace(old, new, 1))
    write(folder, "Odd-Name.2", GOOD)
    write(folder, "binary", b"\xff\xfe\x00")
    merged = defs()
    dg.Definitions.validate_loadable(merged)
    described = {spec.key.to_user_string(): str(spec.description) for spec in merged.resolve_all_asset_specs()}
    broken = {key for key in described if not key.startswith("good/")}
    assert broken == {"bad/broken", "Odd-Name.2/broken", "binary/broken"}
    assert len(described) > 15
    assert sentence in described["bad/broken"]
    assert "the folder's name 'Odd-Name.2' is the project's: use a-z, 0-9 and _" in described["Odd-Name.2/broken"]
    assert "binary/defs.yaml cannot be read" in described["binary/broken"]
    assert len(one("good").assets or ()) > 15


def test_what_only_dagster_sees_is_a_project_error_too(folder: Path) -> None:
    """`ml-assets run` says one sentence, as the UI does."""
    write(folder, "bad", GOOD.replace("0 * * * *", "99 99 * * *"))
    with pytest.raises(ProjectError, match="99 99"):
        runner("bad")


def test_a_file_that_cannot_be_opened(folder: Path) -> None:
    (folder / "bad" / "defs.yaml").mkdir(parents=True)
    with pytest.raises(ProjectError, match=r"bad/defs.yaml cannot be read: .*[Ii]s a directory"):
        settings.load("bad")
    with pytest.raises(ProjectError, match="unknown project 'nothing': choose one of bad, good"):
        settings.load("nothing")


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(GOOD)), st.integers(0, 30), st.text(max_size=5) | st.binary(max_size=5))
def test_no_edit_is_more_than_a_sentence(tmp_path: Path, start: int, length: int, insert: str | bytes) -> None:
    """Whatever somebody types over the file, it can be read or is refused with one sentence."""
    data = insert if isinstance(insert, bytes) else insert.encode("utf-8", "surrogatepass")
    raw = GOOD.encode()
    path = tmp_path / "edited" / "defs.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw[:start] + data + raw[start + length :])
    try:
        read(path)
    except ProjectError as error:
        sentence = str(error)
    else:
        sentence = "edited/defs.yaml can be read"
    assert "edited/defs.yaml" in sentence
    assert len(sentence.splitlines()) == 1


# what only several options together, or the numbers and words behind them, make wrong
BEYOND_A_SCHEMA = {
    "input nowhere",
    "parts of a text",
    "unknown part",
    "metric",
    "share",
    "class twice",
    "task of another modality",
    "network of another modality",
    "class nowhere",
    "sets that cannot be compared",
    "serves nothing",
    "one class left",
    "key twice",
    "cron",
    "cron beyond",
    "component",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_editors_and_dg_see_it_by_the_schema(mistake: str) -> None:
    schema = MLProject.get_model_cls().model_json_schema()
    jsonschema.validate(yaml.safe_load(GOOD)["attributes"], schema)
    old, new, *_ = MISTAKES[mistake]
    try:
        attributes = yaml.safe_load(GOOD.replace(old, new, 1))["attributes"]
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return
    if mistake not in BEYOND_A_SCHEMA:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(attributes, schema)


def test_dg_checks_the_yaml_of_all_projects(tmp_path: Path) -> None:
    dg_program = Path(sys.executable).with_name("dg")
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    checkout = Path(settings.__file__).parents[1]
    done = subprocess.run([dg_program, "check", "yaml"], cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout
