"""Django; with DEBUG on it logs its errors."""

import os
import sys

from django.conf import settings

logging = {}
if "APM_LOG" in os.environ:
    logging["version"] = 1
    logging["handlers"] = {"file": {"class": "logging.FileHandler", "filename": os.environ["APM_LOG"]}}
    logging["loggers"] = {
        "django": {"handlers": ["file"], "propagate": False},
        "django.server": {"handlers": ["file"], "level": "CRITICAL", "propagate": False},
    }
settings.configure(
    DEBUG=os.environ.get("APM_DEBUG", "1") == "1",
    SECRET_KEY="of-a-test",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    LOGGING=logging,
)

from django.core.management import execute_from_command_line  # noqa: E402
from django.urls import path  # noqa: E402
from django_views import fail, healthy, unrelated  # noqa: E402

urlpatterns = [path("fail/<str:way>", fail), path("healthy", healthy), path("unrelated", unrelated)]


def main():
    execute_from_command_line([*sys.argv, "--noreload"])


if __name__ == "__main__":
    main()
