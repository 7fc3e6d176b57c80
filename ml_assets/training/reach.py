"""Spans that a network can never tell: they begin or end within its words, or lie behind what it reads."""

import json
from dataclasses import dataclass

from ml_assets.modalities import Modality
from ml_assets.store import ProjectStore
from ml_assets.training.candidates import Candidate
from ml_assets.training.data import inputs_of, items_of

LOOKED_AT = 1000
"""Labelled samples whose spans are looked at."""
AROUND = 12
"""Characters that are shown on each side of an example."""
SHOWN = 60
"""Characters that are shown of an example at most."""


@dataclass(frozen=True)
class Reach:
    """How many of the given spans a network can tell.

    Args:
        spans: Spans that were looked at.
        between: How many of these begin or end within a word.
        unread: How many lie behind what the network reads.
        example: One that cannot be told, in its text; empty if all can.
    """

    spans: int
    between: int
    unread: int
    example: str

    @property
    def share(self) -> float:
        """Share of the spans that cannot be told."""
        return (self.between + self.unread) / self.spans if self.spans else 0.0


def reach(store: ProjectStore, candidate: Candidate, modality: Modality) -> Reach:
    """Of the spans of a feature set those that the candidate's network can tell."""
    chosen = candidate.feature_set
    # ids are hashes: the first ones are drawn at random
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
