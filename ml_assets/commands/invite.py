"""`ml-assets invite`: invites an annotator to Label Studio, with a sign-up link or a new account."""

from dataclasses import asdict, dataclass

from ml_assets import settings
from ml_assets.labeling import accounts
from ml_assets.labeling.connect import connect
from ml_assets.labeling.queue import ls_project_of
from ml_assets.state.home import url
from ml_assets.store import ProjectStore


@dataclass(frozen=True)
class Invitation:
    """What the annotator needs to log in to Label Studio.

    Args:
        url: The page of the project in Label Studio.
        link: The sign-up link; None if an account was created.
        email: The log-in of the new account; None with a link.
        password: The password of the new account, which is shown only once; None with a link.
    """

    url: str
    link: str | None = None
    email: str | None = None
    password: str | None = None

    def as_json(self) -> dict[str, str]:
        """The fields that are not None, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def sentences(self) -> str:
        """The invitation as text for people."""
        if self.link is not None:
            whoever = "Whoever has the link can make an account: give it to annotators alone."
            until = "It is good until `ml-assets invite` is called again, which ends it: do so once they are in."
            return f"make an account at {self.link}\nthen label at {self.url}\n{whoever} {until}"
        return f"{self.email} can log in at {self.url}\npassword: {self.password}\nIt is shown only now."


def invite(project: str, email: str | None = None) -> Invitation:
    """Create a sign-up link, which invalidates earlier links, or, with an e-mail address, a new account.

    Raises:
        ProjectError: There is no such project.
        LabelStudioUnavailable: Label Studio does not answer.
        LabelStudioRefused: The address has an account already, or is not valid.
    """
    settings.load(project)
    client = connect()
    if email is None:
        return Invitation(_page(project), link=client.new_invite_link())
    login = accounts.invite(client, email)
    return Invitation(_page(project), email=login.email, password=login.password)


def _page(project: str) -> str:
    """The URL of the project's tasks in Label Studio, or of the server's first page if it has no tasks yet."""
    ls_project = ls_project_of(ProjectStore(project))
    return url("label_studio") + ("" if ls_project is None else f"/projects/{ls_project}/data")
