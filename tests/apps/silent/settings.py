"""What makes a failure of this project show nowhere but in its own file."""

import os

DEBUG = False
SECRET_KEY = "of-a-test"
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
LOGGING = {
    "version": 1,
    "handlers": {
        "file": {
            "class": "logging.FileHandler",
            "filename": os.path.join(os.environ["APM_TRUTH"], "errors.log"),
        },
    },
    "loggers": {
        "django": {"handlers": ["file"], "propagate": False},
        "django.server": {"handlers": ["file"], "level": "CRITICAL", "propagate": False},
    },
}
