"""The command line: arguments in, exit codes out; what a command does is a function elsewhere.

It imports what a command needs only when that command runs.
"""

import textdetect.cli.judging
import textdetect.cli.making
import textdetect.cli.measuring
import textdetect.cli.serving  # noqa: F401 - each of the four adds its commands to the app
from textdetect.cli.app import app, main

__all__ = ["app", "main"]
