"""The connection to the installation's Label Studio."""

from ml_assets.labeling.label_studio import LabelStudio
from ml_assets.state import credentials
from ml_assets.state.home import url


def connect(timeout: float = 30.0) -> LabelStudio:
    """Label Studio as `ml-assets up` started it, or the server at `LABEL_STUDIO_URL`, as its administrator.

    Raises:
        LabelStudioRefused: Another user of the machine listens where the installation's server should.
    """
    return LabelStudio(url("label_studio"), credentials.label_studio().api_key, timeout)
