"""A Django project with DEBUG off in its settings: it logs its errors to a file. Run where `failing.py` is."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    sys.path.append(os.getcwd())
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
