"""Demo traffic: requests predictions from the endpoint, and sends feedback where the right answer is known."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from ml_assets.commands.predict import call, key, predict
from ml_assets.demo.example import Request
from ml_assets.modalities import Text

CLIENTS = 4
LIMIT = 100_000


def send(project: str, requests: Sequence[Request], on_progress: Callable[[int, int], None]) -> list[str]:
    """Send one request per sample, and feedback where the label is known; return the prediction ids in the same order."""
    text, secret, done = Text(), key(project), 0

    with httpx.Client(limits=httpx.Limits(max_connections=CLIENTS)) as client:

        def ask(request: Request) -> str:
            nonlocal done
            content = request.content if not isinstance(request.content, str) else text.decode(request.content)[:LIMIT]
            prediction = str(predict(project, [content], client)["predictions"][0]["id"])
            if request.label is not None:
                call(project, "feedback", {"prediction_id": prediction, "label": request.label}, secret, client)
            done += 1
            on_progress(done, len(requests))
            return prediction

        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(ask, requests))
