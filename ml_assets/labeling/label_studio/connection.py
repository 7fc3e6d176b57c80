"""A user's connection to a Label Studio server: authentication, accounts, server time and error handling."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import httpx

from ml_assets.errors import InvalidValue
from ml_assets.labeling.label_studio import http


class Connection:
    """One user's connection to a Label Studio server.

    Args:
        url: Address of the server, such as `http://127.0.0.1:8080`.
        token: A legacy token (40 hexadecimal digits) or a personal access token.
        timeout: Time limit of each call, in seconds.

    Raises:
        LabelStudioRefused: The token has expired, or another user of the machine holds the installation's port.
    """

    def __init__(self, url: str, token: str, timeout: float = 30.0):
        from label_studio_sdk import LabelStudio as Sdk

        self.url = url.rstrip("/")
        limits = httpx.Limits(max_connections=16)
        self._http = http.client(self.url, timeout, follow_redirects=True, limits=limits)
        self._http.event_hooks["response"].append(self._note_time)
        self.answered_at: datetime | None = None
        """Time of the server's last response, by its own clock; None if it sends none."""
        sdk: Any = Sdk
        with self._asking("the token"):
            self._sdk: Sdk = sdk(base_url=self.url, api_key=token, httpx_client=self._http, timeout=timeout, max_retries=0)

    def _note_time(self, answer: httpx.Response) -> None:
        try:
            at = parsedate_to_datetime(answer.headers["Date"])
        except (KeyError, ValueError):
            self.answered_at = None
        else:
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
            self.answered_at = at if at.year > 2000 else None

    def close(self) -> None:
        """Close the HTTP connections."""
        self._http.close()

    @cached_property
    def email(self) -> str:
        """E-mail address of the user whose token is used."""
        with self._asking("who it belongs to"):
            return str(self._sdk.users.whoami().email)

    def users(self) -> dict[int, str]:
        """E-mail address of each user of the server, by user id."""
        with self._asking("the list of users"):
            return {int(user.id): str(user.email) for user in listed(self._sdk.users.list())}

    def invite_link(self) -> str:
        """The current address at which an invited person creates an account; `new_invite_link` makes it invalid."""
        with self._asking("an invitation"):
            return self.url + _invitation(self._sdk.organizations.invites.get_invite_link().invite_url)

    def new_invite_link(self) -> str:
        """Create a new invitation address; all earlier ones become invalid."""
        with self._asking("a new invitation"):
            return self.url + _invitation(self._sdk.organizations.reset_token().invite_url)

    def administrator(self) -> dict[str, Any]:
        """Id, e-mail address and names of the user whose token is used."""
        found = self._get("/api/current-user/whoami", "who it belongs to")
        with self._asking("who it belongs to"):
            return {name: found[name] for name in ("id", "email", "username", "first_name", "last_name")}

    def _get(self, path: str, what: str, may_miss: bool = False) -> Any:
        """The JSON at a path of the API; None for a 404 response if `may_miss`."""
        from label_studio_sdk.core.api_error import ApiError

        with self._asking(what):
            answer = self._http.get(self.url + path, headers=self._sdk._client_wrapper.get_headers())
            if may_miss and answer.status_code == 404:
                return None
            if answer.status_code != 200:
                raise ApiError(status_code=answer.status_code, body=answer.text)
            return answer.json()

    def _asking(self, what: str, exists_is_fine: bool = False) -> AbstractContextManager[None]:
        """A context in which every error of a call to Label Studio becomes one sentence about `what`."""
        return http.asking(self.url, what, exists_is_fine)


def listed(items: Any) -> list[Any]:
    """The argument if it is a list; raises `ValueError` otherwise, because a missing list is not an empty one."""
    if not isinstance(items, list):
        raise InvalidValue("no list")
    return items


def _invitation(path: Any) -> str:
    """The argument if it is the path of an invitation. Raises `ValueError` otherwise."""
    if not isinstance(path, str) or not path.startswith("/"):
        raise InvalidValue("no path")
    return path


def stamp(time: datetime) -> str:
    """A UTC time as text as Label Studio's filters need it, with microseconds and `Z`; the texts sort by time."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
