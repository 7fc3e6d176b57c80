"""`ml-assets invite`: how somebody becomes an annotator, by a link to make the account oneself or with one that is made."""

from dataclasses import asdict, dataclass

from ml_assets import settings
from ml_assets.labeling import accounts
from ml_assets.labeling.connect import connect
from ml_assets.labeling.queue import ls_project_of
from ml_assets.state.home import url
from ml_assets.store import ProjectStore


@dataclass(frozen=True)
class Invitation:
    """What to pass on to the annotator.

    Args:
        url: The page of the project in Label Studio.
        link: Where the annotator makes an account; None where one was made.
        email: Of the account that was made.
        password: Of the account that was made; nobody can ask for it again.
    """

    url: str
    link: str | None = None
    email: str | None = None
    password: str | None = None

    def as_json(self) -> dict[str, str]:
        """What is known, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def sentences(self) -> str:
        """The same for people."""
        if self.link is not None:
            whoever = "Whoever has the link can make an account: give it to annotators alone."
            until = "It is good until `ml-assets invite` is called again, which ends it: do so once they are in."
            return f"make an account at {self.link}\nthen label at {self.url}\n{whoever} {until}"
        return f"{self.email} can log in at {self.url}\npassword: {self.password}\nIt is shown only now."


def invite(project: str, email: str | None = None) -> Invitation:
    """A new invitation link or, with an e-mail address, a new account; links from before are good for nothing any more.

    Raises:
        ProjectError: There is no such project.
        LabelStudioUnavailable: Label Studio does not answer.
        LabelStudioRefused: The address has an account already, or is none.
    """
    settings.load(project)
    client = connect()
    if email is None:
        return Invitation(_page(project), link=client.new_invite_link())
    login = accounts.invite(client, email)
    return Invitation(_page(project), email=login.email, password=login.password)


def _page(project: str) -> str:
    """Where the project's tasks are; the server's first page as long as it has none."""
    ls_project = ls_project_of(ProjectStore(project))
    return url("label_studio") + ("" if ls_project is None else f"/projects/{ls_project}/data")
