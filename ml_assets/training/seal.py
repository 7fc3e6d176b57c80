"""Seals: what a model's folder must hold, as our own tables know it.

A model passes through places that others may write to: MLflow's server asks nobody who they are. So the digest of each of its
files, and the examples by which it checks itself, stand in the project's tables, and whatever loads a model compares with them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_assets.errors import MLAssetsError
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore, quote
from ml_assets.store.schemas import rows

Files = Mapping[str, str]
"""SHA-256 of files, by their path in a folder."""
BESIDE = frozenset({"limits.json"})
"""What a Bento adds to the model's folder."""
KNOWN = ("version", "run_id", "dataset", "feature_set", "encoder", "architecture", "classes")
"""What both `model.json` and the row of a model say."""


class Tampered(MLAssetsError, ValueError):
    """A file of a model is not the one that was made; the message names it."""


@dataclass(frozen=True)
class Seal:
    """What a model's folder must hold.

    Args:
        model: The model's version.
        files: Its files; None of a model that was made before they were noted.
        examples: Content and scores by which it checks itself; None likewise.
        weights: Digest of its weights, as models have had it from the start; None where that is not known either.
        known: What its description must say, for a model whose files are not known.
        beside: Files that may lie there besides.
    """

    model: str
    files: Files | None = None
    examples: Sequence[dict[str, Any]] | None = None
    weights: str | None = None
    known: Mapping[str, Any] | None = None
    beside: frozenset[str] = frozenset()

    def check(self, folder: Path) -> None:
        """Raise `Tampered` if the folder does not hold what it must hold, nothing less and nothing more."""
        found = digests(folder)
        if self.files is not None:
            names = {name for name in found if name not in self.beside or name in self.files}
            for name in sorted(self.files.keys() | names):
                if found.get(name) != self.files.get(name):
                    raise self._broken(folder, name, _how(name, self.files, found))
            return
        weights = folder / "model.safetensors"
        if self.weights is not None and not (weights.is_file() and content_id(weights.read_bytes()) == self.weights):
            raise self._broken(folder, "model.safetensors", "is not the file that was made")
        if self.known:
            described = _description(folder)
            for name, value in self.known.items():
                if described.get(name) != value:
                    raise self._broken(folder, "model.json", f"says another {name} than the one that it was made with")

    def _broken(self, folder: Path, name: str, how: str) -> Tampered:
        return Tampered(f"the model {self.model} is not used: {name} in {folder} {how}; put the file back, or train another")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below the folder; of a link, which no model has, what it points to in place of it."""
    return {
        path.relative_to(folder).as_posix(): f"link to {path.readlink()}" if path.is_symlink() else _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


def of_model(store: ProjectStore, version: str) -> Seal:
    """The seal of a registered model: of its own row or, of an older model, of a Bento that holds it."""
    found = store.table("models").take([version]).to_pylist()
    if not found:
        raise Tampered(f"the model {version} is not used: table models of project {store.project!r} does not know it")
    row = found[0]
    if row["files"] is not None:
        return Seal(version, json.loads(row["files"]), json.loads(row["examples"]))
    packaged = store.table("bentos").read(["files"], f"model = {quote(version)} AND files IS NOT NULL")["files"].to_pylist()
    if packaged:
        return Seal(version, {name: digest for name, digest in json.loads(packaged[0]).items() if name not in BESIDE})
    return Seal(version, weights=row["weights"], known=_known(row))


def of_bento(store: ProjectStore, tag: str, version: str) -> Seal:
    """The seal of the model's folder in a Bento. Of a Bento that was made before seals: what the model's row says."""
    own = store.table("models").take([version]).to_pylist()
    row = own[0] if own else {"files": None, "examples": None}
    examples = None if row["examples"] is None else json.loads(row["examples"])
    known = store.table("bentos").take([tag], ["files"])["files"].to_pylist()
    if known and known[0] is not None:
        return Seal(version, json.loads(known[0]), examples)
    if row["files"] is not None:
        return Seal(version, json.loads(row["files"]), examples, beside=BESIDE)
    return Seal(version, weights=row["weights"], known=_known(row)) if own else Seal(version)


def record_model(store: ProjectStore, version: str, folder: Path) -> None:
    """Write down the files and examples of an older model whose folder has been checked, the first time that it is seen."""
    table = store.table("models")
    for row in table.take([version]).to_pylist():
        if row["files"] is None:
            files = {name: digest for name, digest in digests(folder).items() if name not in BESIDE}
            row |= {"files": json.dumps(files), "examples": json.dumps(_description(folder)["examples"])}
            table.upsert(rows("models", [row]))


def record_bento(store: ProjectStore, tag: str, version: str, folder: Path) -> None:
    """Write down the files of a Bento of a version before, and of its model, the first time that it has been checked."""
    record_model(store, version, folder)
    table = store.table("bentos")
    for row in table.take([tag]).to_pylist():
        if row["files"] is None:
            table.upsert(rows("bentos", [row | {"files": json.dumps(digests(folder))}]))


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: row[name] for name in KNOWN if row.get(name) is not None} | {"version": row["id"]}
    return known | {name: json.loads(known[name]) for name in ("architecture", "classes") if name in known}


def _description(folder: Path) -> dict[str, Any]:
    """What the folder's description says, with the encoder by its name."""
    try:
        found = json.loads((folder / "model.json").read_bytes())
        return {**found, "encoder": found["encoder"]["name"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Tampered(f"model.json in {folder} cannot be read: {error!r}") from error


def _how(name: str, files: Files, found: Files) -> str:
    if name not in found:
        return "is missing"
    return "is not the file that was made" if name in files else "does not belong to it"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
