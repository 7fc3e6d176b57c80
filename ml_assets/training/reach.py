"""Finds labelled spans that a network can never predict: they do not match word boundaries, or lie beyond what it reads."""

import json
from dataclasses import dataclass

from ml_assets.modalities import Modality
from ml_assets.store import ProjectStore
from ml_assets.training.candidates import Candidate
from ml_assets.training.data import inputs_of, items_of

LOOKED_AT = 1000
"""Maximum number of labelled samples that are checked."""
AROUND = 12
"""Number of characters of context on each side of an example."""
SHOWN = 60
"""Maximum number of characters of an example span."""


@dataclass(frozen=True)
class Reach:
    """How many of the labelled spans a network can predict.

    Args:
        spans: Number of spans that were checked.
        between: Number of these that begin or end within a word.
        unread: Number of these that lie beyond what the network reads.
        example: A span that cannot be predicted, in its text; empty if there is none.
    """

    spans: int
    between: int
    unread: int
    example: str

    @property
    def share(self) -> float:
        """Share of the spans that cannot be predicted."""
        return (self.between + self.unread) / self.spans if self.spans else 0.0


def reach(store: ProjectStore, candidate: Candidate, modality: Modality) -> Reach:
    """Check which labelled spans of a feature set the candidate's network can predict."""
    chosen = candidate.feature_set
    # ids are hashes, so the first ones are a random sample
    listed = sorted(chosen.rows.to_pylist(), key=lambda row: str(row["id"]))[:LOOKED_AT]
    ids, values = [row["id"] for row in listed], [row["target"] for row in listed]
    inputs = inputs_of(store, candidate.architecture, modality, modality.only(chosen.inputs).encoder(chosen.encoder), ids)
    lost, example = candidate.architecture.unreachable(values, inputs), ""
    if lost:
        first = next((each for each in lost if not each.unread), lost[0])
        [text] = items_of(store, modality, [ids[first.sample]])
        start, end = first.span["start"], first.span["end"]
        around = text[max(0, start - AROUND) : start], text[end : end + AROUND]
        example = f"{around[0]}[{text[start:end][:SHOWN]}]{around[1]} (characters {start} to {end}, sample {ids[first.sample]})"
    unread = sum(each.unread for each in lost)
    return Reach(sum(len(json.loads(value)) for value in values), len(lost) - unread, unread, example)
