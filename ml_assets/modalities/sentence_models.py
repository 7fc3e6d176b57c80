"""Sentence-transformers models, as they embed texts: compiled by OpenVINO on a processor, by torch on a GPU.

OpenVINO gives the same vectors, and is ready in half a second, because neither torch nor transformers is imported. A model is
translated once per machine, in a process of its own, and kept in the user's cache under the digest of its files. Where that
does not work, or gives other vectors, torch embeds.

    python -m ml_assets.modalities.sentence_models MODEL FOLDER    translates a model, as is done when one is first used
"""

import hashlib
import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property, lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_assets.compute import ON_A_GPU, cores, device, has_bfloat16, has_tiles, limit_threads, on_a_gpu, threads
from ml_assets.errors import InvalidValue
from ml_assets.home import cache
from ml_assets.modalities.hub import ask_hub

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

BATCH = {"openvino": 8, "torch": 32}
"""Texts that go through a model together on a processor, all of about the same length."""
WIDTHS = 8
"""OpenVINO prepares itself for each length anew, so that lengths are multiples of this."""
ALIKE = 0.9999
"""The least cosine between the vectors of OpenVINO and of torch with which a translated model is used."""
ALIKE_IN_BFLOAT16 = 0.999
"""The same where the processor computes in bfloat16, which has three digits."""
TRANSLATE_SECONDS = 600.0
READ = {".json", ".txt", ".model", ".safetensors", ".bin"}
"""The files that a model is loaded from, by their endings."""
OTHER_RUNTIMES = {"onnx", "openvino"}
FORMAT = "1"
"""Changes when models must be translated anew."""
SAMPLES = (
    "yes",
    "Where is the invoice of last month? I paid it twice, and nobody answers.",
    "Żółć, naïve Ångström: 3.14 %, done! 🙂",
    "明日の会議は何時ですか",
    "The quick brown fox jumps over the lazy dog. " * 40,
)
"""Texts of several scripts and lengths by which a translated model is compared."""

logger = logging.getLogger("ml_assets.encoders")


class About(NamedTuple):
    """What is known of a model beside its weights.

    Args:
        dimensions: Of its vectors.
        unknown: The word piece that stands for what it does not know, if it has one.
        padding: The word piece behind the end of shorter texts.
    """

    dimensions: int
    unknown: int | None
    padding: int


class SentenceModel(ABC):
    """Cuts texts into word pieces and embeds them."""

    def __init__(self, tokenizer: str, about: About, max_tokens: int):
        from tokenizers import Tokenizer

        self.about = about
        self.max_tokens = max_tokens
        self.tokenizer = Tokenizer.from_str(tokenizer)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.cutting = Tokenizer.from_str(self.tokenizer.to_str())
        self.cutting.enable_truncation(max_tokens)

    @property
    def marks(self) -> int:
        """How many of a text's word pieces are the model's own marks at its ends."""
        return int(self.tokenizer.num_special_tokens_to_add(False))

    def whole(self, texts: Sequence[str]) -> list[Any]:
        """The encodings (`ids`, `offsets`) of whole texts, without the model's own marks."""
        return list(self.tokenizer.encode_batch(list(texts), add_special_tokens=False))

    def cut(self, texts: Sequence[str]) -> list[Any]:
        """The encodings of texts as the model reads them: with its marks, at most `max_tokens` word pieces."""
        return list(self.cutting.encode_batch(list(texts)))

    @abstractmethod
    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` of at least one text."""


class InOpenVINO(SentenceModel):
    """A translated model on a processor. It is compiled when it first embeds: a process may fork before, and not after."""

    def __init__(self, folder: Path, weights: str, max_tokens: int):
        tokenizer = (folder / "tokenizer.json").read_text("utf-8")
        json.loads(tokenizer)  # of a torn file the library raises nothing that could be told from other mistakes
        super().__init__(tokenizer, About(*json.loads((folder / "about.json").read_bytes())), max_tokens)
        self.folder = folder
        self.weights = weights
        self.lock = threading.Lock()

    @cached_property
    def requests(self) -> Any:
        """The compiled model, which embeds as many batches at a time as there are cores.

        Raises `OSError` or `RuntimeError` if its files are damaged.
        """
        settings = {
            "NUM_STREAMS": cores(),
            "INFERENCE_NUM_THREADS": cores() * threads(),
            "ENABLE_CPU_PINNING": False,  # two processes would hold to the same core
            "INFERENCE_PRECISION_HINT": "bf16" if has_tiles() else "f32",
        }
        openvino = _openvino()
        model = openvino.Core().compile_model(self.folder / "model.xml", "CPU", settings)
        requests = openvino.AsyncInferQueue(model, cores())
        requests.set_callback(_keep)
        return requests

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embedded in batches of about equal lengths, as many at a time as there are cores, none of which waits for another."""
        try:
            with self.lock:
                requests = self.requests
        except (OSError, RuntimeError) as error:
            _discard(self.folder, error)
            return InTorch(self.weights, self.max_tokens).vectors(texts)
        ids = [encoding.ids for encoding in self.cut(texts)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        found = np.empty((len(ids), self.about.dimensions), np.float32)
        with self.lock:  # the requests belong to one caller at a time
            for start in range(0, len(order), BATCH["openvino"]):
                rows = order[start : start + BATCH["openvino"]]
                longest = max(1, len(ids[rows[-1]]))
                shape = len(rows), min(-(-longest // WIDTHS) * WIDTHS, self.max_tokens)
                pieces, mask = np.full(shape, self.about.padding, np.int64), np.zeros(shape, np.int64)
                for i, row in enumerate(rows):
                    pieces[i, : len(ids[row])] = ids[row]
                    mask[i, : len(ids[row])] = 1
                requests.start_async([pieces, mask], (found, rows))
            requests.wait_all()
        return found


def _keep(request: Any, place: tuple[NDArray[np.float32], list[int]]) -> None:
    """Write the vectors of a batch to its rows."""
    found, rows = place
    found[rows] = request.get_output_tensor().data


class InTorch(SentenceModel):
    """A model in torch, on a GPU or a processor."""

    def __init__(self, weights: str, max_tokens: int):
        self.model = in_torch(weights, max_tokens)
        super().__init__(*_described(self.model), max_tokens)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embedded by the library itself, which sorts them by length."""
        size = BATCH["torch"] * (ON_A_GPU if self.model.device.type == "cuda" else 1)
        return np.asarray(self.model.encode(list(texts), batch_size=size, show_progress_bar=False), dtype=np.float32)


@lru_cache(maxsize=8)
def sentence_model(weights: str, max_tokens: int) -> SentenceModel:
    """The model of a folder or of the Hugging Face Hub, where it is fastest. Raises `OSError` or `ValueError`."""
    if not on_a_gpu() and (folder := _translated(weights)) is not None:
        try:
            return InOpenVINO(folder, weights, max_tokens)
        except (OSError, TypeError, ValueError) as error:
            _discard(folder, error)
    return InTorch(weights, max_tokens)


def _discard(folder: Path, error: Exception) -> None:
    """Remove a translated model that is damaged, so that the next process makes it anew."""
    shutil.rmtree(folder, ignore_errors=True)
    why = (str(error).strip().splitlines() or ["?"])[0][:200]
    logger.warning("the translated encoder %s cannot be used (%s), so that torch embeds", folder, why)


@lru_cache(maxsize=4)
def in_torch(weights: str, max_tokens: int) -> "SentenceTransformer":
    """The model in torch, where networks compute: to be learnt from, too. Raises `OSError` or `ValueError`."""
    import torch

    where = device()
    return _loaded(weights, max_tokens, where, torch.bfloat16 if has_bfloat16(where) else torch.float32)


def _loaded(weights: str, max_tokens: int, where: "torch.device", dtype: "torch.dtype") -> "SentenceTransformer":
    import transformers
    from sentence_transformers import SentenceTransformer

    transformers.utils.logging.disable_progress_bar()
    limit_threads()
    load = partial(SentenceTransformer, weights, device=str(where), model_kwargs={"dtype": dtype})
    try:
        model = load(local_files_only=True)
    except (OSError, ValueError):
        if Path(weights).exists():
            raise
        ask_hub(weights)
        model = load()
    model.max_seq_length = max_tokens
    return model


def _described(model: "SentenceTransformer") -> tuple[str, About]:
    """Its tokenizer as JSON, and what else is known of it. Raises `ValueError` if its tokenizer does not tell places."""
    tokenizer: Any = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise InvalidValue("its tokenizer does not tell where word pieces stand: it has no tokenizer.json")
    dimensions = int(model.get_embedding_dimension() or 0)
    return tokenizer.backend_tokenizer.to_str(), About(dimensions, tokenizer.unk_token_id, tokenizer.pad_token_id or 0)


def _openvino() -> Any:
    """OpenVINO, which tells its makers nothing of its use: it does without the package that would."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def _translated(weights: str) -> Path | None:
    """The folder of the translated model, made if there is none yet; None if that does not work, which is told once."""
    from filelock import FileLock

    if importlib.util.find_spec("openvino") is None or (source := _source(weights)) is None:
        return None
    try:
        target = _private(cache() / "encoders") / _digest(source)
        failed = target.with_suffix(".failed")
        if (target / "about.json").is_file():
            return target
        with FileLock(target.with_suffix(".lock")):
            missing = not (target / "about.json").is_file() and not failed.exists()
            if missing and (why := _translate_apart(source, target)):
                failed.write_text(why, encoding="utf-8")
                logger.warning("the encoder %s is embedded with by torch, because OpenVINO cannot: %s", weights, why)
            return None if failed.exists() else target
    except OSError as error:
        logger.warning("the encoder %s is embedded with by torch: nothing can be kept in the cache (%s)", weights, error)
        return None


def _private(folder: Path) -> Path:
    """The folder, made if there is none. Raises `OSError` if others may write into it: what lies there is computed with."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"others may write into {folder}: set ML_ASSETS_CACHE to a folder of your own")
    return folder


def _source(weights: str) -> Path | None:
    """The folder of the model; None if it is not on this machine yet."""
    if Path(weights).is_dir():
        return Path(weights)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(weights, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, OSError, ValueError):
        return None


def _digest(source: Path) -> str:
    """What a translation follows from: the model's files, and the versions of the programs."""
    digest = hashlib.sha256("\0".join((FORMAT, metadata.version("openvino"), str(has_tiles()))).encode())
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.suffix in READ and path.is_file() and not OTHER_RUNTIMES & set(inside.parts):
            with path.open("rb") as file:
                digest.update(f"\0{inside.as_posix()}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]


def _translate_apart(source: Path, target: Path) -> str:
    """Translate in another process, whose memory is given back; why it did not work, else empty."""
    part = target.with_suffix(".part")
    for left in (part, target):
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir(mode=0o700)
    logger.info("translating the encoder %s for this processor, once: some ten seconds", source)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ml_assets.modalities.sentence_models", str(source), str(part)],
            env={**os.environ, "ML_ASSETS_DEVICE": "cpu"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=TRANSLATE_SECONDS,
            check=False,
        )
        said = done.stderr.strip().splitlines() if done.returncode > 0 else []
        why = "" if done.returncode == 0 else (said or [f"its process ended with {done.returncode}"])[-1][:300]
    except subprocess.TimeoutExpired:
        why = f"it took longer than {TRANSLATE_SECONDS:g} s"
    if why:
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.rename(target)
    return why


def translate(source: str, folder: Path) -> None:
    """Write the model for OpenVINO, its tokenizer and what is known of it. Raises `ValueError` if the vectors differ."""
    import torch

    openvino = _openvino()
    model = _loaded(source, 128, torch.device("cpu"), torch.float32)
    if getattr(model, "default_prompt_name", None):
        raise InvalidValue("it puts words of its own before each text")
    tokenizer, about = _described(model)

    class Embedded(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]
            return found

    pieces = torch.full((2, 16), about.padding, dtype=torch.int64)
    mask = torch.ones_like(pieces)
    mask[1, 9:] = 0
    inputs = [(name, [-1, -1], openvino.Type.i64) for name in ("input_ids", "attention_mask")]
    with torch.inference_mode():
        made = openvino.convert_model(
            Embedded().eval(), example_input={"input_ids": pieces, "attention_mask": mask}, input=inputs
        )
    openvino.save_model(made, folder / "model.xml", compress_to_fp16=False)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    translated = InOpenVINO(folder, source, 128)
    assert translated.requests is not None, "it is compiled here, where a failure ends the translation"
    ours = translated.vectors(SAMPLES)
    theirs = model.encode(list(SAMPLES), show_progress_bar=False)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    if not (alike := float(((ours * theirs).sum(1) / lengths).min())) >= (ALIKE_IN_BFLOAT16 if has_tiles() else ALIKE):
        raise InvalidValue(f"it gives other vectors: the lowest cosine is {alike:.5f}")


if __name__ == "__main__":
    try:
        translate(sys.argv[1], Path(sys.argv[2]))
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(" ".join(str(error).split())[:300])
