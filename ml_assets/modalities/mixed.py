"""The modality `mixed`: several parts in one sample, such as a text, a picture, a number and a time; any may be missing."""

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, create_model, field_validator

from ml_assets.errors import InvalidValue
from ml_assets.modalities.base import File, Modality, Scalar, Undecodable, excerpt
from ml_assets.modalities.encoders.base import Encoder
from ml_assets.store.records import is_text

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class MixedEncoder(Encoder):
    """An encoder that concatenates the unit vectors of all parts, 0 for missing ones, and scales the result to unit length."""

    name: str
    dimensions: int
    kinds: dict[str, str]
    """Modality of each part, in the order of the vector's blocks."""
    encoders: dict[str, str]
    """Encoder of each part."""
    inputs: tuple[str, ...]
    """The parts that it encodes; the others count as missing."""

    @property
    def blocks(self) -> dict[str, slice]:
        """The slice of the vector that belongs to each part."""
        found, start = dict[str, slice](), 0
        for name in self.kinds:
            found[name] = slice(start, start := start + self._encoder(name).dimensions)
        return found

    @property
    def distributions(self) -> tuple[str, ...]:
        """The packages that contain the weights of all parts' encoders."""
        return tuple(sorted({each for name in self.kinds for each in self._encoder(name).distributions}))

    @property
    def lasting(self) -> bool:
        """Always False: the name does not contain the parts' modalities, which may differ in another project."""
        return False

    def encode(self, items: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of unit length; zero vectors for items with none of the parts."""
        parsed = [item if isinstance(item, dict) else self._parts(item) for item in items]
        vectors = np.zeros((len(items), self.dimensions), np.float32)
        for name, block in self.blocks.items():
            if rows := [i for i, parts in enumerate(parsed) if name in parts]:
                vectors[rows, block] = self._encoder(name).encode([parsed[i][name] for i in rows])
        return _unit(vectors)

    def prepared(self, item: str) -> dict[str, Any]:
        """The parts of the item by name, each prepared by its encoder."""
        return {name: self._encoder(name).prepared(part) for name, part in self._parts(item).items()}

    def of_stored(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The stored vectors with the blocks of parts outside of `inputs` set to 0, scaled to unit length."""
        if len(self.inputs) == len(self.kinds):
            return vectors
        found = np.zeros_like(vectors)
        for name in self.inputs:
            found[:, self.blocks[name]] = vectors[:, self.blocks[name]]
        return _unit(found)

    def whole(self) -> "MixedEncoder":
        """A copy that encodes all parts."""
        return self.model_copy(update={"inputs": tuple(self.kinds)})

    def _encoder(self, part: str) -> Encoder:
        return modality_of(self.kinds[part]).encoder(self.encoders[part])

    def _parts(self, item: str) -> dict[str, Any]:
        """The items of the parts in `inputs`, by name."""
        return {name: part for name, _, part in _parts(item, {name: self.kinds[name] for name in self.inputs})}


class Mixed(Modality):
    """Several parts in one sample. An item is a JSON object of the parts that it has, sorted by name."""

    name_in_yaml: ClassVar[str] = "mixed"
    column: ClassVar[Literal["text", "media"]] = "text"
    unit: ClassVar[str] = "parts"
    bounds: ClassVar[tuple[float, float]] = (1, 100)
    default_encoder: ClassVar[str] = "parts"

    parts: dict[str, str] = Field(min_length=1, max_length=100)
    """The parts by name: `{body: text, photo: image, price: number}`; also `category`, `time`, or any other modality."""
    inputs: tuple[str, ...] = ()
    """Filled in by the feature set: the parts that models see; all of them by default."""

    @field_validator("parts")
    @classmethod
    def _known(cls, parts: dict[str, str]) -> dict[str, str]:
        for name, kind in parts.items():
            if not NAME.fullmatch(name):
                raise InvalidValue(f"the part {name!r} needs another name: use a-z, 0-9 and _, starting with a letter")
            modality_of(kind)
        return parts

    @property
    def input_names(self) -> tuple[str, ...]:
        """`content` for the whole sample, and the names of the parts."""
        return ("content", *self.parts)

    @property
    def has_files(self) -> bool:
        """Whether a part is a picture or a sound."""
        return any(modality_of(kind).has_files for kind in self.parts.values())

    def only(self, inputs: Sequence[str]) -> Self:
        """A copy restricted to these parts. Raises `ValueError` if a name is not a part."""
        if unknown := [name for name in inputs if name not in self.input_names]:
            raise InvalidValue(f"unknown input {unknown[0]!r}: choose one of {', '.join(self.input_names)}")
        return self.model_copy(update={"inputs": () if "content" in inputs else tuple(n for n in self.parts if n in inputs)})

    def decode(self, content: str | bytes) -> str:
        """Decode a JSON object of parts. Raises `Undecodable` if it is not one, has unknown parts, or has none."""
        try:
            found = json.loads(content if isinstance(content, str) else content.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"not a JSON object of parts: {' '.join(str(error).split())}") from error
        if not isinstance(found, dict):
            raise Undecodable(f"not a JSON object of parts: it is a {type(found).__name__}")
        if unknown := [name for name in found if name not in self.parts]:
            raise Undecodable(f"unknown part {unknown[0][:40]!r}: choose one of {', '.join(self.parts)}")
        read: dict[str, Any] = {}
        for name, value in found.items():
            if value is None or (isinstance(value, str) and not value.strip()):
                continue  # in tables without nulls a missing part is empty text
            try:
                read[name] = _canonical(modality_of(self.parts[name]), value)
            except Undecodable as error:
                raise Undecodable(f"{name}: {error}") from error
        if not read:
            raise Undecodable(f"empty: it has none of the parts {', '.join(self.parts)}")
        if bad := [name for name, value in read.items() if isinstance(value, str) and not is_text(value)]:
            raise Undecodable(f"{bad[0]}: not UTF-8 text")
        return json.dumps(read, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    def work(self, content: str | bytes) -> float:
        """Number of characters, plus the cost of decoding all parts."""
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            return float(len(content))
        parts = found.items() if isinstance(found, dict) else ()
        return len(content) + sum(_work(modality_of(self.parts[name]), value) for name, value in parts if name in self.parts)

    def from_json(self, content: str | Mapping[str, Any]) -> str:
        """The JSON text of an object; text is returned as it is."""
        return content if isinstance(content, str) else json.dumps(content)

    def json_type(self) -> Any:
        """A pydantic model with a field for each part, all optional."""
        parts: dict[str, Any] = {name: (modality_of(kind).json_type() | None, None) for name, kind in self.parts.items()}
        return create_model("Sample", **parts)

    def length(self, item: str) -> float:
        """Number of parts that are present."""
        return len(json.loads(item))

    def describe(self, items: Sequence[str]) -> pa.Table:
        """The parts' descriptions as columns `<part>_<column>`, or `<part>` for the item itself; null for missing parts."""
        parsed, columns = [json.loads(item) for item in items], dict[str, pa.Array]()
        for name, kind in self.parts.items():
            present = [name in parts for parts in parsed]
            at = pa.array(np.cumsum(present, dtype=np.int64) - 1, pa.int64(), mask=~np.array(present, dtype=bool))
            modality = modality_of(kind)
            table = modality.describe([modality.from_json(parts[name]) for parts in parsed if name in parts])
            for column in table.column_names:
                own = name if column == kind else f"{name}_{column}"
                columns[own] = table[column].combine_chunks().take(at)
        return pa.table(columns)

    def encoder(self, name: str) -> MixedEncoder:
        """The encoder `parts`, with every part's default encoder; `body=<model>, photo=<model>` sets others."""
        encoders, kinds = {part: modality_of(kind).default_encoder for part, kind in self.parts.items()}, self.parts
        if name != self.default_encoder:
            for pair in name.split(","):
                part, _, chosen = (word.strip() for word in pair.partition("="))
                if part not in self.parts or not chosen:
                    raise InvalidValue(
                        f"cannot read the encoder {name!r} of mixed samples: use {self.default_encoder}, or name one for a "
                        f"part, such as {next(iter(encoders))}={next(iter(encoders.values()))}"
                    )
                encoders[part] = chosen
        dimensions = sum(modality_of(kind).encoder(encoders[part]).dimensions for part, kind in kinds.items())
        return MixedEncoder(
            name=",".join(f"{part}={chosen}" for part, chosen in encoders.items()),
            dimensions=dimensions,
            kinds=kinds,
            encoders=encoders,
            inputs=self.inputs or tuple(kinds),
        )

    def label_studio_object(self) -> str:
        """Label Studio's `HyperText` tag, which shows a table of the parts."""
        return '<HyperText name="content" value="$content" inline="true"/>'

    def label_studio_content(self, item: str, file: File) -> str:
        """HTML of a table of the parts, with pictures and sounds by the addresses of their files."""
        rows = (
            f'<tr><th style="text-align:left;vertical-align:top;padding-right:1em">{html.escape(name)}</th>'
            f"<td>{modality.label_studio_part(part, _of_part(name, file))}</td></tr>"
            for name, modality, part in _parts(item, self.parts)
        )
        return f"<table>{''.join(rows)}</table>"

    def show(self, item: str, limit: int) -> str:
        """HTML of a list of the parts, each shown by its modality."""
        rows = (
            f"<dt>{html.escape(name)}</dt><dd>{modality.show(part, limit)}</dd>"
            for name, modality, part in _parts(item, self.parts)
        )
        return f'<dl class="parts">{"".join(rows)}</dl>'


@lru_cache(maxsize=64)
def modality_of(kind: str) -> Modality:
    """The modality with this name for a part. Raises `ValueError` with the choices."""
    from ml_assets.modalities import MODALITIES, PARTS  # imported here, as that module imports this one

    kinds = {name: cls for name, cls in (PARTS.classes | MODALITIES.classes).items() if cls is not Mixed}
    if kind not in kinds:
        raise InvalidValue(f"unknown kind of part {kind!r}: choose one of {', '.join(kinds)}")
    return kinds[kind].model_validate({})


def _parts(item: str, kinds: Mapping[str, str]) -> Iterator[tuple[str, Modality, Any]]:
    """Yield name, modality and item of each part in `kinds` that the mixed item has."""
    found = json.loads(item)
    for name, kind in kinds.items():
        if name in found:
            modality = modality_of(kind)
            yield name, modality, modality.from_json(found[name])


def _canonical(modality: Modality, value: Any) -> Any:
    """The canonical JSON value of a part. Raises `Undecodable` if it is invalid or outside of the modality's bounds."""
    if not isinstance(value, str) and not isinstance(modality, Scalar):
        raise Undecodable(f"not {modality.type}: {excerpt(value)}")
    item = modality.decode(modality.from_json(value))
    (shortest, longest), length = modality.bounds, modality.length(item)
    if not shortest <= length <= longest:
        raise Undecodable(f"{length:g} {modality.unit}, not from {shortest:g} to {longest:g}")
    return modality.to_json(item)


def _work(modality: Modality, value: Any) -> float:
    """Cost of decoding a part, 0 if it is unknown."""
    try:
        return modality.work(modality.from_json(value)) if isinstance(value, str) else 0.0
    except Undecodable:
        return 0.0


def _of_part(name: str, file: File) -> File:
    """A `File` function that adds the part's name to the file's name."""
    return lambda content, ending: file(content, f"-{name}{ending}")


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)
