"""How fast OpenVINO embeds texts, as the project does it on a processor, beside torch; and how soon a process is ready.

Each works in processes of its own, on so many cores, one after the other: a process that has embedded one text is ready. Texts
have 5 to 110 words. The vectors are compared, and the peak memory of the process is told.

    python benchmarks/encoders.py [--encoder minilm] [--texts 1500] [--rounds 3] [--cores 1]
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

RUNTIMES = ("openvino", "torch")
SENTENCE = "the engine of my car makes a strange noise when it is cold and I wonder what could be wrong with it"


def one(runtime: str, encoder: str, count: int, began: float, kept: Path) -> dict[str, float]:
    """Texts per second, seconds until ready, and megabytes, in this process."""
    from ml_assets.modalities.encoders import sentence_models
    from ml_assets.modalities.encoders.text import TextEncoder
    from ml_assets.modalities.text import Text

    draw, words = random.Random(0), SENTENCE.split()
    texts = [" ".join(draw.choice(words) for _ in range(draw.randint(5, 110))) for _ in range(count)]
    found = Text().encoder(encoder)
    assert isinstance(found, TextEncoder)
    made = {"openvino": sentence_models.sentence_model, "torch": sentence_models.InTorch}[runtime](found.weights, 128)
    assert isinstance(made, sentence_models.InTorch) == (runtime == "torch"), "it could not be translated, as is said above"
    made.vectors(texts[:1])
    ready, start = time.time() - began, time.perf_counter()
    vectors = made.vectors(texts)
    seconds = time.perf_counter() - start
    np.save(kept / f"{runtime}.npy", vectors)
    return {
        "ready": ready,
        "speed": count / seconds,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def main() -> None:
    """Print a table; the median of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--texts", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    os.environ["ML_ASSETS_TORCH_THREADS"] = str(options.cores if options.one and options.one[0] == "torch" else 1)
    if options.one:
        print(
            json.dumps(one(options.one[0], options.encoder, options.texts, float(sys.stdin.readline()), Path(options.one[1])))
        )
        return
    found: dict[str, list[dict[str, float]]] = {runtime: [] for runtime in RUNTIMES}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds + 1):  # the first fills the system's caches, and translates
            for runtime in RUNTIMES:
                command = [sys.executable, __file__, *sys.argv[1:], "--one", runtime, folder]
                done = subprocess.run(command, input=f"{time.time()}\n", stdout=subprocess.PIPE, text=True, check=True)
                found[runtime] += [json.loads(done.stdout.splitlines()[-1])] if turn else []
        ours, theirs = (np.load(f"{folder}/{runtime}.npy") for runtime in RUNTIMES)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = float(((ours * theirs).sum(1) / lengths).min())
    table = Table("", "texts/s", "ready, s", "peak memory, MB", title=f"{options.encoder}, lowest cosine {cosine:.7f}")
    middle = {r: {key: float(np.median([row[key] for row in rows])) for key in rows[0]} for r, rows in found.items()}
    for runtime, row in middle.items():
        table.add_row(runtime, f"{row['speed']:.1f}", f"{row['ready']:.2f}", f"{row['memory']:.0f}")
    a, b = middle["openvino"], middle["torch"]
    table.add_row("ratio", *(f"{a[key] / b[key]:.2f}" for key in ("speed", "ready", "memory")))
    Console().print(table)


if __name__ == "__main__":
    main()
