"""The example projects: one file per example, listed here, that fetches its data; `show` runs the whole loop on one."""

from ml_assets.demo.addresses import Addresses
from ml_assets.demo.digits import Digits
from ml_assets.demo.example import Example
from ml_assets.demo.languages import Languages
from ml_assets.demo.newsgroups import Newsgroups
from ml_assets.demo.scenes import Scenes
from ml_assets.demo.sentiment import Sentiment
from ml_assets.demo.tweets import Tweets

EXAMPLES: dict[str, Example] = {
    example.project: example for example in (Newsgroups(), Sentiment(), Addresses(), Digits(), Scenes(), Languages(), Tweets())
}

__all__ = ["EXAMPLES", "Example"]
