"""Django with DEBUG off: it logs its errors to a file and nothing to standard error."""

import os

os.environ["APM_DEBUG"] = "0"
os.environ["APM_LOG"] = os.path.join(os.environ["APM_TRUTH"], "errors.log")

import django_app  # noqa: E402

if __name__ == "__main__":
    django_app.main()
