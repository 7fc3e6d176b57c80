"""HTTP access to Label Studio: protects the token from other users' processes, and turns errors into one sentence each."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from ml_assets.errors import MLAssetsError
from ml_assets.network.listeners import StrangerListens, refuse_stranger, watched
from ml_assets.state import home


class LabelStudioUnavailable(MLAssetsError, RuntimeError):
    """Raised when Label Studio does not respond or fails temporarily; trying again later may help."""


class LabelStudioRefused(MLAssetsError, RuntimeError):
    """Raised when Label Studio refuses a request or must not be contacted; trying again does not help."""


def client(url: str, timeout: float, **options: Any) -> httpx.Client:
    """An HTTP client for one server only, which stops if another user of the machine listens on the installation's port.

    Args:
        url: Address of the server.
        timeout: Time limit of each request, in seconds.
        options: Further arguments of `httpx.Client`.
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
        """Check the target of each request, because it may open a connection to a server that replaced the last one."""
        if request.url.host != host:
            raise LabelStudioRefused(f"Label Studio at {url} leads on to {request.url.host}: nothing is sent there")
        if ours:
            refuse_other_user(url)
            request.extensions = {**request.extensions, "trace": opened}

    refuse_other_user(url)
    return httpx.Client(timeout=timeout, event_hooks={"request": [look]}, **options)


def refuse_other_user(url: str) -> None:
    """Raise an error if the URL is the installation's own and another user of the machine listens there.

    Raises:
        LabelStudioRefused: Another user listens.
    """
    if url.rstrip("/") != home.url("label_studio").rstrip("/"):
        return
    try:
        refuse_stranger("label_studio")
    except StrangerListens as error:
        raise LabelStudioRefused(str(error)) from error


@contextmanager
def asking(url: str, what: str, exists_is_fine: bool = False) -> Iterator[None]:
    """A context for calls to Label Studio and for reading their results: every error in it becomes one sentence about `what`.

    Args:
        url: Address of the server.
        what: What is requested, in words.
        exists_is_fine: Whether the response that the object exists already is no error.

    Raises:
        LabelStudioUnavailable: No response, a temporary failure, or a response that is not Label Studio's.
        LabelStudioRefused: The server refuses the request.
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
        # the SDK passes on any JSON, so expected fields may be missing or of another type
        raise garbled(url, what) from error


def silent(url: str, what: str, error: httpx.HTTPError) -> LabelStudioUnavailable:
    """The error for a server that does not respond, or not in time."""
    how = f"does not answer ({type(error).__name__}) when asked for {what}: {home.who_starts('label_studio')}"
    if isinstance(error, httpx.TimeoutException):  # the server runs, but does not respond
        how = f"is silent ({type(error).__name__}) when asked for {what}: see its log, or try again"
    return LabelStudioUnavailable(f"Label Studio at {url} {how}")


def garbled(url: str, what: str) -> LabelStudioUnavailable:
    """The error for a response that is not Label Studio's."""
    return LabelStudioUnavailable(
        f"{url} answers as no Label Studio does when asked for {what}: check LABEL_STUDIO_URL, or its proxy"
    )


def _detail(body: Any) -> str:
    """The error message in a response body, shortened to 300 characters."""
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    text = body if isinstance(body, str) else json.dumps(body, default=str)
    return " ".join(text.split())[:300]
