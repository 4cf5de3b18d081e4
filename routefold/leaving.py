"""The end of a command that a signal interrupted: now, and with nothing left behind."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave(exit_code: int) -> NoReturn:
    """End this process at once, its children first.

    Everything that must be stopped in order has been by now. What can be left is a download cut
    short: Python would wait for its threads, and a tool that it started would go on alone.
    """
    with suppress(ImportError):  # part of the `local` extra; without it nothing is downloaded
        import psutil

        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    with suppress(OSError):  # nobody reads any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(exit_code)
