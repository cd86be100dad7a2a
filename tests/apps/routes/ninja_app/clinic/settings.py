"""Settings: only what routing needs."""
SECRET_KEY = "for tests"
DEBUG = False
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "ninja"]
ROOT_URLCONF = "clinic.urls"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
