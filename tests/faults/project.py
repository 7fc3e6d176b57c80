"""The project on which faults are tried: short made-up texts on three topics, a queue for people, a model, live traffic.

Everything follows from a seed. There are more samples than one batch of embeddings holds, duplicates and a reject among them.
"""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from ml_assets.modalities import Text

NAME = "faults"
TOPICS = {
    "cooking": ("oven butter flour recipe onion simmer garlic whisk sauce dough pan pepper roast spoon", "The cook says"),
    "space": ("orbit rocket planet launch telescope crater comet lunar probe gravity galaxy mission", "Astronomers report"),
    "sport": ("goal striker referee league penalty coach stadium match halftime tackle defender cup", "The commentator shouts"),
}
COMMON = "today the new one was very good but they had to wait for a long time before it could go on as planned"
TRAIN, TEST, GIVEN, ASKED, UPLOADED, QUEUE, SENT_BACK = 560, 60, 12, 48, 12, 60, 6

YAML = f"""type: ml_assets.project.MLProject
attributes:
  collection:
    modality: text
    min_length: 10
    poll_seconds: 5
    sources:
      - {{type: table, name: train, path: $ML_ASSETS_HOME/data/train.csv, split: train}}
      - {{type: table, name: test, path: $ML_ASSETS_HOME/data/test.csv, split: test, label: topic}}
      - {{type: table, name: given, path: $ML_ASSETS_HOME/data/given.csv, split: train, label: topic}}
  labeling:
    task: {{type: single_choice, classes: [{", ".join(TOPICS)}]}}
    poll_seconds: 5
    queue: {{size: {QUEUE}, total: {QUEUE}}}
  training:
    architecture: {{type: mlp, hidden: 32, epochs: 6, batch_size: 32}}
    trials: 2
    may_drop: 0.5
  monitoring:
    minimum_rows: 20
    schedule: "0 0 1 1 *" # by command only, so that every log is whole when it is looked at
    uncertain: {{per_day: {SENT_BACK}, below: 1.0}}
"""


def write(home: Path, defs: Path) -> None:
    """The project's YAML and its files."""
    texts = _texts(seed=0)
    (home / "data").mkdir(parents=True)
    train = [next(texts) for _ in range(TRAIN)]
    _table(home / "data" / "train.csv", [*train, *train[:5], ("cooking", "short")])
    _table(home / "data" / "test.csv", [next(texts) for _ in range(TEST)])
    _table(home / "data" / "given.csv", [next(texts) for _ in range(GIVEN)])
    (defs / NAME).mkdir(parents=True)
    (defs / NAME / "defs.yaml").write_text(YAML, encoding="utf-8")


def answers() -> dict[str, str]:
    """The topic of every text that can ever be asked about, by sample id: what the annotators know."""
    everything = [*_take(seed=0, count=TRAIN), *uploads(), *questions()]
    return {Text().sample_id(text): topic for topic, text in everything}


def uploads() -> list[tuple[str, str]]:
    """What an application pushes to the collection API: (topic, text)."""
    return _take(seed=1, count=UPLOADED)


def questions() -> list[tuple[str, str]]:
    """What an application asks the endpoint: (topic, text)."""
    return _take(seed=2, count=ASKED)


def _take(seed: int, count: int) -> list[tuple[str, str]]:
    texts = _texts(seed)
    return [next(texts) for _ in range(count)]


def _texts(seed: int) -> Iterator[tuple[str, str]]:
    """Topics with texts: mostly words that every topic has, so that a small model is not sure of all of them."""
    draw = random.Random(seed)
    seen = set()
    while True:
        topic = draw.choice(list(TOPICS))
        words, opening = TOPICS[topic]
        own = draw.sample(words.split(), draw.randint(1, 3))
        words_here = [*own, *draw.sample(COMMON.split(), 6)]
        text = f"{opening if draw.random() < 0.5 else 'We hear'}: {' '.join(draw.sample(words_here, len(words_here)))}."
        if text not in seen:
            seen.add(text)
            yield topic, text


def _table(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("topic", "text"))
        writer.writerows(rows)
