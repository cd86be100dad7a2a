"""Calibre-Web as its own `main` builds it, without starting its server."""
import os
import sys
import tempfile

os.environ["CALIBRE_DBPATH"] = tempfile.mkdtemp()
sys.argv = sys.argv[:1]

from cps import app, web_server
from cps.main import main

web_server.start = lambda: False
try:
    main()
except SystemExit:
    pass
