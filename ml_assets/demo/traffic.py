"""Demo traffic: an application that asks the endpoint, half of the time about things that the model never saw."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from ml_assets.commands.predict import call, key
from ml_assets.demo import newsgroups
from ml_assets.modalities import Text

CLIENTS = 4


def send(project: str, requests: int, seed: int, on_progress: Callable[[int, int], None]) -> list[str]:
    """Ask once per text and give feedback where the answer is known; return the prediction ids, known classes first."""
    chooser, text, secret = random.Random(seed), Text(), key(project)
    known = chooser.sample(newsgroups.read("test.csv"), requests // 2)
    strange = chooser.sample(newsgroups.read("unseen.csv"), requests - requests // 2)
    done = 0

    with httpx.Client(limits=httpx.Limits(max_connections=CLIENTS)) as client:

        def ask(row: tuple[str, str]) -> str:
            nonlocal done
            category, content = row
            answer = call(project, "predict", {"samples": [text.decode(content)[:100_000]]}, secret, client)
            prediction = str(answer["predictions"][0]["id"])
            if category in newsgroups.CLASSES:
                call(project, "feedback", {"prediction_id": prediction, "label": category}, secret, client)
            done += 1
            on_progress(done, requests)
            return prediction

        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(ask, [*known, *strange]))
