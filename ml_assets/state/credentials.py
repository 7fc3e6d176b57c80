"""The secrets of one installation: created at first use, stored in `<home>/credentials` (mode 0600), never logged."""

import json
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ml_assets.errors import InvalidValue
from ml_assets.state.home import home


@dataclass(frozen=True)
class LabelStudioAccount:
    """How to reach Label Studio's API, and how its administrator logs in.

    Args:
        api_key: 40 hexadecimal digits for the server that we start; whatever `LABEL_STUDIO_API_KEY` holds for another one.
        email: The administrator's log-in, None on a server that we did not start.
        password: The administrator's password, None on a server that we did not start.
    """

    api_key: str = field(repr=False)
    email: str | None = None
    password: str | None = field(default=None, repr=False)


def label_studio() -> LabelStudioAccount:
    """The Label Studio account to use: of the server at `LABEL_STUDIO_URL` if that is set, else of the server that we start.

    Raises:
        ValueError: `LABEL_STUDIO_URL` without `LABEL_STUDIO_API_KEY`, or a credentials file that is not ours.
    """
    if url := os.environ.get("LABEL_STUDIO_URL"):
        if not (key := os.environ.get("LABEL_STUDIO_API_KEY")):
            raise InvalidValue(f"LABEL_STUDIO_URL={url} needs LABEL_STUDIO_API_KEY: copy it from that server's account page")
        return LabelStudioAccount(api_key=key)
    stored = _stored()
    return LabelStudioAccount(
        api_key=stored["label_studio_api_key"], email=stored["label_studio_email"], password=stored["label_studio_password"]
    )


def _made() -> dict[str, str]:
    """Create new secrets; the administrator's log-in is taken from the environment if it is set there."""
    return {
        "label_studio_email": os.environ.get("LABEL_STUDIO_USERNAME") or "admin@localhost.example",
        "label_studio_password": os.environ.get("LABEL_STUDIO_PASSWORD") or secrets.token_urlsafe(15),
        "label_studio_api_key": secrets.token_hex(20),
    }


def _stored() -> dict[str, str]:
    path = home() / "credentials"
    if not path.exists():
        _create(path, json.dumps(_made(), indent=1))
    try:
        stored = json.loads(path.read_text())
        return {name: str(stored[name]) for name in ("label_studio_email", "label_studio_password", "label_studio_api_key")}
    except (ValueError, KeyError, TypeError) as error:
        # `from None`: the chained error would show the file's content, which is secret
        raise InvalidValue(
            f"{path} is damaged ({type(error).__name__}): restore it from a copy, Label Studio knows its old content"
        ) from None


def _create(path: Path, content: str) -> None:
    """Write the whole file unless it exists: if two processes try at once, one wins and both read its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=".credentials-")  # mode 0600
    try:
        with os.fdopen(number, "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # a link, not a rename: it fails where the name exists (as O_EXCL does), and never shows a half-written file
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
