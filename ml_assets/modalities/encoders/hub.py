"""Checks whether the Hugging Face Hub has a model, with a short time limit, because a download retries for minutes."""

from ml_assets.errors import InvalidValue

HUB_SECONDS = 10.0


def ask_hub(name: str) -> None:
    """Raise `ValueError` with one sentence if the Hub cannot be reached or has no such model."""
    from httpx2 import HTTPError  # the HTTP library of the Hub's client
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        HfApi().model_info(name, timeout=HUB_SECONDS)
    except HfHubHTTPError as error:
        raise InvalidValue(f"the Hugging Face Hub has no public model {name!r}") from error
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise InvalidValue(f"the model {name!r} is not on this machine, and the Hugging Face Hub cannot be reached") from error
