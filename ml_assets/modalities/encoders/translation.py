"""Sentence-transformers models translated for OpenVINO: once per machine, kept in the user's cache.

A model is translated in a process of its own, and kept under the digest of its files. Where that does not work, or gives other
vectors, torch embeds.

    python -m ml_assets.modalities.encoders.translation MODEL FOLDER    what that process does
"""

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

from ml_assets.compute import has_tiles
from ml_assets.errors import InvalidValue
from ml_assets.modalities.encoders.in_openvino import CONTENTS, InOpenVINO, import_openvino, write_contents
from ml_assets.modalities.encoders.sentence_models import described, loaded
from ml_assets.state.home import cache

ALIKE = 0.9999
"""Minimum cosine between the vectors of OpenVINO and torch for a translated model to be used."""
ALIKE_IN_BFLOAT16 = 0.999
"""Minimum cosine where the processor computes in bfloat16, which has three digits."""
TRANSLATE_SECONDS = 600.0
READ = {".json", ".txt", ".model", ".safetensors", ".bin"}
"""Extensions of the files that a model is loaded from."""
OTHER_RUNTIMES = {"onnx", "openvino"}
FORMAT = "2"
"""Version of the translation; a change makes all models be translated again."""
SAMPLES = (
    "yes",
    "Where is the invoice of last month? I paid it twice, and nobody answers.",
    "Żółć, naïve Ångström: 3.14 %, done! 🙂",
    "明日の会議は何時ですか",
    "The quick brown fox jumps over the lazy dog. " * 40,
)
"""Texts in several scripts and lengths on which a translated model is compared with the original."""

logger = logging.getLogger("ml_assets.encoders")


def translated(weights: str) -> Path | None:
    """The folder of the translated model, which is created if needed; None, logged once, if that does not work."""
    from filelock import FileLock

    if importlib.util.find_spec("openvino") is None or (source := _source(weights)) is None:
        return None
    try:
        target = _private(cache() / "encoders") / _digest(source)
        failed = target.with_suffix(".failed")
        if (target / CONTENTS).is_file():
            return target
        with FileLock(target.with_suffix(".lock")):
            missing = not (target / CONTENTS).is_file() and not failed.exists()
            if missing and (why := _translate_apart(source, target)):
                failed.write_text(why, encoding="utf-8")
                logger.warning("the encoder %s is embedded with by torch, because OpenVINO cannot: %s", weights, why)
            return None if failed.exists() else target
    except OSError as error:
        logger.warning("the encoder %s is embedded with by torch: nothing can be kept in the cache (%s)", weights, error)
        return None


def _private(folder: Path) -> Path:
    """The folder, created if needed. Raises `OSError` if other users may write into it, as its models are executed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"others may write into {folder}: set ML_ASSETS_CACHE to a folder of your own")
    return folder


def _source(weights: str) -> Path | None:
    """The folder of the original model; None if it is not on this machine yet."""
    if Path(weights).is_dir():
        return Path(weights)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(weights, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, OSError, ValueError):
        return None


def _digest(source: Path) -> str:
    """Digest of everything that a translation depends on: the model's files and the versions of the programs."""
    digest = hashlib.sha256("\0".join((FORMAT, metadata.version("openvino"), str(has_tiles()))).encode())
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.suffix in READ and path.is_file() and not OTHER_RUNTIMES & set(inside.parts):
            with path.open("rb") as file:
                digest.update(f"\0{inside.as_posix()}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]


def _translate_apart(source: Path, target: Path) -> str:
    """Translate in another process, to release its memory; return why it did not work, or the empty string."""
    part = target.with_suffix(".part")
    for left in (part, target):
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir(mode=0o700)
    logger.info("translating the encoder %s for this processor, once: some ten seconds", source)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ml_assets.modalities.encoders.translation", str(source), str(part)],
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
    """Write the model for OpenVINO, its tokenizer and properties. Raises `ValueError` if the vectors differ from torch's."""
    import torch

    from ml_assets.modalities.encoders.networks import SentenceEmbedding

    openvino = import_openvino()
    model = loaded(source, 128, torch.device("cpu"), torch.float32)
    if getattr(model, "default_prompt_name", None):
        raise InvalidValue("it puts words of its own before each text")
    tokenizer, about = described(model)
    pieces = torch.full((2, 16), about.padding, dtype=torch.int64)
    mask = torch.ones_like(pieces)
    mask[1, 9:] = 0
    inputs = [(name, [-1, -1], openvino.Type.i64) for name in ("input_ids", "attention_mask")]
    with torch.inference_mode():
        converted = openvino.convert_model(
            SentenceEmbedding(model).eval(), example_input={"input_ids": pieces, "attention_mask": mask}, input=inputs
        )
    openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    write_contents(folder, about)
    made = InOpenVINO(folder, source, 128)
    assert made.requests is not None, "it is compiled here, where a failure ends the translation"
    ours = made.vectors(SAMPLES)
    theirs = model.encode(list(SAMPLES), show_progress_bar=False)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    if not (alike := float(((ours * theirs).sum(1) / lengths).min())) >= (ALIKE_IN_BFLOAT16 if has_tiles() else ALIKE):
        raise InvalidValue(f"it gives other vectors: the lowest cosine is {alike:.5f}")


if __name__ == "__main__":
    try:
        translate(sys.argv[1], Path(sys.argv[2]))
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(" ".join(str(error).split())[:300])
