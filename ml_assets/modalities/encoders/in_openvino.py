"""Runs sentence-transformers models with OpenVINO on a CPU, from the folders that `translation` writes.

OpenVINO gives the same vectors as torch, and is ready in half a second, because neither torch nor transformers is imported.
"""

import hashlib
import json
import logging
import shutil
import sys
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.compute import cores, has_tiles, threads
from ml_assets.errors import MLAssetsError
from ml_assets.modalities.encoders.sentence_models import About, InTorch, SentenceModel

BATCH = 8
"""Number of texts, of similar lengths, that go through a model together."""
WIDTHS = 8
"""Batch lengths are multiples of this, because OpenVINO prepares itself anew for each length."""
CONTENTS = "contents.json"
"""Name of the file in a translated model's folder that holds its `About` and the SHA-256 of its other files; written last."""

logger = logging.getLogger("ml_assets.encoders")


class Damaged(MLAssetsError, OSError):
    """Raised when a translated model's files are not the written ones; the message says which."""


class InOpenVINO(SentenceModel):
    """A translated model on a CPU. It is compiled at the first embedding: a process may fork before that, but not after.

    Args:
        folder: Folder that `translation` wrote.
        weights: The original model, for torch if OpenVINO cannot compile the translated one.
        max_tokens: Maximum number of word pieces that are read of a text.

    Raises:
        Damaged: Its files are damaged or missing; the folder is removed.
    """

    def __init__(self, folder: Path, weights: str, max_tokens: int):
        try:
            tokenizer = (folder / "tokenizer.json").read_text("utf-8")
            json.loads(tokenizer)  # detects a damaged file, for which the library raises no specific exception
            about = About(*json.loads((folder / CONTENTS).read_bytes())["about"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            shutil.rmtree(folder, ignore_errors=True)  # the next process creates it again
            raise Damaged(f"{type(error).__name__} in {folder}") from error
        super().__init__(tokenizer, about, max_tokens)
        self.folder = folder
        self.weights = weights
        self.lock = threading.Lock()

    @cached_property
    def requests(self) -> Any:
        """The compiled model, which runs as many batches in parallel as there are cores. Raises `OSError`, `RuntimeError`."""
        settings = {
            "NUM_STREAMS": cores(),
            "INFERENCE_NUM_THREADS": cores() * threads(),
            "ENABLE_CPU_PINNING": False,  # two processes would be pinned to the same core
            "INFERENCE_PRECISION_HINT": "bf16" if has_tiles() else "f32",
        }
        openvino = import_openvino()
        model = openvino.Core().compile_model(self.folder / "model.xml", "CPU", settings)
        requests = openvino.AsyncInferQueue(model, cores())
        requests.set_callback(_keep)
        return requests

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors, computed in parallel batches of texts of similar lengths."""
        try:
            with self.lock:
                requests = self.requests
        except (OSError, RuntimeError) as error:
            self._warn(error)
            return InTorch(self.weights, self.max_tokens).vectors(texts)
        ids = [encoding.ids for encoding in self.cut(texts)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        found = np.empty((len(ids), self.about.dimensions), np.float32)
        with self.lock:  # only one caller at a time may use the requests
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                longest = max(1, len(ids[rows[-1]]))
                shape = len(rows), min(-(-longest // WIDTHS) * WIDTHS, self.max_tokens)
                pieces, mask = np.full(shape, self.about.padding, np.int64), np.zeros(shape, np.int64)
                for i, row in enumerate(rows):
                    pieces[i, : len(ids[row])] = ids[row]
                    mask[i, : len(ids[row])] = 1
                requests.start_async([pieces, mask], (found, rows))
            requests.wait_all()
        return found

    def _warn(self, error: Exception) -> None:
        """Log that torch is used instead, and remove the folder if its files are not the written ones."""
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        logger.warning("the translated encoder %s cannot be used (%s), so that torch embeds", self.folder, why)
        if not is_whole(self.folder):  # intact files may be compiled later, for example with more free memory
            shutil.rmtree(self.folder, ignore_errors=True)


def _keep(request: Any, place: tuple[NDArray[np.float32], list[int]]) -> None:
    """Callback that copies the vectors of a finished batch to their rows."""
    found, rows = place
    found[rows] = request.get_output_tensor().data


def write_contents(folder: Path, about: About) -> None:
    """Write the contents file of a translated model's folder, after all other files."""
    (folder / CONTENTS).write_text(json.dumps({"about": about, "files": _digests(folder)}), encoding="utf-8")


def is_whole(folder: Path) -> bool:
    """Whether the files of a translated model match its contents file."""
    try:
        return bool(json.loads((folder / CONTENTS).read_bytes())["files"] == _digests(folder))
    except (OSError, KeyError, TypeError, ValueError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != CONTENTS:
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def import_openvino() -> Any:
    """Import OpenVINO without the package that sends usage statistics."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino
