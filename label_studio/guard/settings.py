"""The settings of Label Studio's server as `ml-assets up` runs it: its own, and what is stricter here.

What its variables can say stands in `../settings.env`; this module, which `DJANGO_SETTINGS_MODULE` names, adds the rest.
"""

# the base stands here too, because the second module asks for settings while it is being read
from label_studio.core.settings.base import *  # noqa: F403
from label_studio.core.settings.label_studio import *  # noqa: F403
from label_studio.core.settings.label_studio import ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS, MIDDLEWARE

LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]
if "*" in ALLOWED_HOSTS:  # what the server takes for "not said"
    ALLOWED_HOSTS = []
# a host that a team names is reached through its proxy, which speaks HTTPS
THEIRS = [f"https://{'*' if host.startswith('.') else ''}{host}" for host in ALLOWED_HOSTS if host not in LOOPBACK]
CSRF_TRUSTED_ORIGINS = [*CSRF_TRUSTED_ORIGINS, *THEIRS]
ALLOWED_HOSTS = [*ALLOWED_HOSTS, *(host for host in LOOPBACK if host not in ALLOWED_HOSTS)]

MIDDLEWARE = [
    "guard.origin.SameOrigin",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    *MIDDLEWARE,
    # last: it decides when the view is known, and after all others have said who asks
    "guard.annotators.AnnotatorsOnlyAnnotate",
]
X_FRAME_OPTIONS = "SAMEORIGIN"
SECURE_REFERRER_POLICY = "same-origin"

# nothing is loaded from or sent to anywhere else, and nothing runs that is not the server's
CSP_DEFAULT_SRC = ("'self'",)
THEME = "'sha256-fsZOebJJAnt3yfUgnelwRem8zqneW8EyLL123gBsTDY='"  # the script in each page that chooses light or dark (1.23.2)
CSP_SCRIPT_SRC = ("'self'", "blob:", THEME)
CSP_STYLE_SRC = ("'self'", "'unsafe-inline'")
CSP_IMG_SRC = ("'self'", "data:", "blob:")
CSP_MEDIA_SRC = ("'self'", "data:", "blob:")
CSP_FONT_SRC = ("'self'", "data:")
CSP_CONNECT_SRC = ("'self'", "data:", "blob:")
CSP_WORKER_SRC = ("'self'", "blob:")
CSP_OBJECT_SRC = ("'none'",)
CSP_BASE_URI = ("'self'",)
CSP_FORM_ACTION = ("'self'",)
CSP_FRAME_ANCESTORS = ("'self'",)
