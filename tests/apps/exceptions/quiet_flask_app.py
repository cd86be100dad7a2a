"""Flask that logs its errors to a file and nothing to standard error."""

import logging
import os

from flask_app import app

app.logger.handlers = [logging.FileHandler(os.path.join(os.environ["APM_TRUTH"], "errors.log"))]
app.logger.propagate = False
