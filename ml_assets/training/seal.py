"""Seals: checksums that a model's folder must match, stored in the project's own tables.

Others may be able to write to the places through which a model passes: MLflow's server has no authentication. So the project's
tables hold the digest of each of its files and its self-check examples, and whatever loads a model compares with them.
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
"""SHA-256 of files, by path relative to a folder."""
BESIDE = frozenset({"limits.json"})
"""Files that a Bento adds to the model's folder."""
KNOWN = ("version", "run_id", "dataset", "feature_set", "encoder", "architecture", "classes")
"""Fields that both `model.json` and a row of `models` hold."""


class Tampered(MLAssetsError, ValueError):
    """Raised when a file of a model is not the one that was made; the message names it."""


@dataclass(frozen=True)
class Seal:
    """The checksums and examples that a model's folder must match.

    Args:
        model: The model's version.
        files: Checksums of its files; None for a model that was made before these were recorded.
        examples: Content and scores of its self-check; None likewise.
        weights: Digest of its weights, which older models have as well; None if unknown.
        known: Fields that its description must match, for a model without recorded files.
        beside: Files that may be in the folder in addition.
    """

    model: str
    files: Files | None = None
    examples: Sequence[dict[str, Any]] | None = None
    weights: str | None = None
    known: Mapping[str, Any] | None = None
    beside: frozenset[str] = frozenset()

    def check(self, folder: Path) -> None:
        """Raise `Tampered` unless the folder holds exactly the recorded files."""
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
    """SHA-256 of each file below the folder; for a symbolic link its target instead, as no model has links."""
    return {
        path.relative_to(folder).as_posix(): f"link to {path.readlink()}" if path.is_symlink() else _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


def of_model(store: ProjectStore, version: str) -> Seal:
    """The seal of a registered model, from its own row or, for an older model, from a Bento that holds it."""
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
    """The seal of the model's folder in a Bento; for a Bento made before seals existed, from the model's row."""
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
    """Record the files and examples of an older model, whose folder has been checked, if they are not recorded yet."""
    table = store.table("models")
    for row in table.take([version]).to_pylist():
        if row["files"] is None:
            files = {name: digest for name, digest in digests(folder).items() if name not in BESIDE}
            row |= {"files": json.dumps(files), "examples": json.dumps(_description(folder)["examples"])}
            table.upsert(rows("models", [row]))


def record_bento(store: ProjectStore, tag: str, version: str, folder: Path) -> None:
    """Record the files of an older Bento, which has been checked, and of its model, if they are not recorded yet."""
    record_model(store, version, folder)
    table = store.table("bentos")
    for row in table.take([tag]).to_pylist():
        if row["files"] is None:
            table.upsert(rows("bentos", [row | {"files": json.dumps(digests(folder))}]))


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: row[name] for name in KNOWN if row.get(name) is not None} | {"version": row["id"]}
    return known | {name: json.loads(known[name]) for name in ("architecture", "classes") if name in known}


def _description(folder: Path) -> dict[str, Any]:
    """The content of `model.json` in the folder, with the encoder replaced by its name. Raises `Tampered`."""
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
