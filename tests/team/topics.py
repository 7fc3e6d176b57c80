"""A small project: short texts about cooking or about football."""

from itertools import product

PROJECT = """type: ml_assets.project.MLProject
attributes:
  collection:
    modality: text
    sources:
      - type: table
        name: first
        path: {path}
  labeling:
    task:
      type: single_choice
      classes: [cooking, football]
    question: What is this about?
    queue:
      size: 100
  features:
    encoder: minilm
  training:
    architecture: mlp
    trials: 1
    minimum: {{}}
"""

_PARTS = {
    "cooking": (
        ("Simmer the {}", "Chop the {} finely", "Season the {} with salt", "Roast the {} in the oven", "Fry the {} in butter"),
        ("onions", "carrots", "lentils", "potatoes", "mushrooms", "leeks", "tomatoes", "beans"),
    ),
    "football": (
        (
            "The {} missed a penalty",
            "The {} won the match",
            "The {} scored a late goal",
            "A red card for the {}",
            "The {} lost",
        ),
        ("striker", "home team", "goalkeeper", "visitors", "captain", "league champion", "young defender", "substitute"),
    ),
}


def answers() -> dict[str, str]:
    """The right class of each text."""
    return {
        f"{sentence.format(thing)}.": topic
        for topic, (sentences, things) in _PARTS.items()
        for sentence, thing in product(sentences, things)
    }


def table() -> str:
    """The texts as CSV, in which cooking and football take turns."""
    found = answers()
    cooking, football = ([text for text, topic in found.items() if topic == each] for each in _PARTS)
    return "text\n" + "".join(f"{a}\n{b}\n" for a, b in zip(cooking, football, strict=True))
