"""How Label Studio is asked over HTTP: nothing secret goes to somebody else's process, and all trouble is one sentence."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from ml_assets.errors import MLAssetsError
from ml_assets.network.listeners import StrangerListens, refuse_stranger, watched
from ml_assets.state import home


class LabelStudioUnavailable(MLAssetsError, RuntimeError):
    """Label Studio does not answer, or answers that it cannot right now: trying again later may help."""


class LabelStudioRefused(MLAssetsError, RuntimeError):
    """Label Studio answers no, or must not be asked: trying again does not help."""


def client(url: str, timeout: float, **options: Any) -> httpx.Client:
    """A client that asks this server and no other, as long as no other user of the machine holds the installation's port.

    Args:
        url: Where the server listens.
        timeout: Limit of each request, in seconds.
        options: More for `httpx.Client`.
    """
    host = httpx.URL(url).host

    ours = url.rstrip("/") == home.url("label_studio").rstrip("/")
    connected = watched("label_studio")

    def opened(event: str, info: Mapping[str, Any]) -> None:
        try:
            connected(event, info)
        except StrangerListens as error:
            raise LabelStudioRefused(str(error)) from error

    def look(request: httpx.Request) -> None:
        """Each request may open a connection, and the server may have ended since the last: look each time."""
        if request.url.host != host:
            raise LabelStudioRefused(f"Label Studio at {url} leads on to {request.url.host}: nothing is sent there")
        if ours:
            refuse_other_user(url)
            request.extensions = {**request.extensions, "trace": opened}

    refuse_other_user(url)
    return httpx.Client(timeout=timeout, event_hooks={"request": [look]}, **options)


def refuse_other_user(url: str) -> None:
    """Nothing, unless this is the installation's own address and another user of the machine listens there.

    Raises:
        LabelStudioRefused: Another user does.
    """
    if url.rstrip("/") != home.url("label_studio").rstrip("/"):
        return
    try:
        refuse_stranger("label_studio")
    except StrangerListens as error:
        raise LabelStudioRefused(str(error)) from error


@contextmanager
def asking(url: str, what: str, exists_is_fine: bool = False) -> Iterator[None]:
    """Errors of the calls inside as one sentence about `what`. Only calls and the reading of what they return stand inside.

    Args:
        url: Where the server listens.
        what: What it is asked for.
        exists_is_fine: Whether the server may answer that there is one already.

    Raises:
        LabelStudioUnavailable: It does not answer, cannot right now, or answers something that is not Label Studio's.
        LabelStudioRefused: It answers no.
    """
    from label_studio_sdk.core.api_error import ApiError
    from label_studio_sdk.core.parse_error import ParsingError

    try:
        yield
    except httpx.HTTPError as error:
        raise silent(url, what, error) from error
    except ApiError as error:
        code, detail = error.status_code or 0, _detail(error.body)
        if code == 409 and exists_is_fine:
            return
        if code < 300:
            raise garbled(url, what) from error
        if code in (401, 403):
            raise LabelStudioRefused(
                f"Label Studio at {url} refuses the token ({code}: {detail}): check LABEL_STUDIO_API_KEY"
            ) from error
        if code >= 500 or code == 429:
            raise LabelStudioUnavailable(f"Label Studio at {url} fails at {what} ({code}: {detail})") from error
        raise LabelStudioRefused(f"Label Studio at {url} refuses {what} ({code}: {detail})") from error
    except (ParsingError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # the SDK hands on whatever JSON came; what is read from it is then missing, or of another kind
        raise garbled(url, what) from error


def silent(url: str, what: str, error: httpx.HTTPError) -> LabelStudioUnavailable:
    """The sentence for a server that does not answer, or not in time."""
    how = f"does not answer ({type(error).__name__}) when asked for {what}: {home.who_starts('label_studio')}"
    if isinstance(error, httpx.TimeoutException):  # it runs, but
        how = f"is silent ({type(error).__name__}) when asked for {what}: see its log, or try again"
    return LabelStudioUnavailable(f"Label Studio at {url} {how}")


def garbled(url: str, what: str) -> LabelStudioUnavailable:
    """The sentence for an answer that is not Label Studio's."""
    return LabelStudioUnavailable(
        f"{url} answers as no Label Studio does when asked for {what}: check LABEL_STUDIO_URL, or its proxy"
    )


def _detail(body: Any) -> str:
    """What the server says, short."""
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    text = body if isinstance(body, str) else json.dumps(body, default=str)
    return " ".join(text.split())[:300]
