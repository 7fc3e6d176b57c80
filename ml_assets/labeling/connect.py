"""Connects to the Label Studio server of the installation."""

from ml_assets.labeling.label_studio import LabelStudio
from ml_assets.state import credentials
from ml_assets.state.home import url


def connect(timeout: float = 30.0) -> LabelStudio:
    """A client of the installation's Label Studio (`ml-assets up` or `LABEL_STUDIO_URL`), with the administrator's access.

    Raises:
        LabelStudioRefused: Another user of the machine listens where the installation's server should.
    """
    return LabelStudio(url("label_studio"), credentials.label_studio().api_key, timeout)
