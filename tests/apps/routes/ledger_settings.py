"""Settings for django-ledger: only what routing needs."""
SECRET_KEY = "for tests"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django_ledger",
]
ROOT_URLCONF = "django_ledger.urls"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
