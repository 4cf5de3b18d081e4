"""The token key of a local installation: made once, kept in its state directory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

FILE_NAME = "token.keys"
_KEY_BYTES = 32


def ensure_key_file(state_dir: Path) -> Path:
    """The key file of a state directory, created with a random key (mode 0600) if missing.

    Of two processes that create it at once, one wins and both use its key.
    """
    path = state_dir / FILE_NAME
    partial = state_dir / f".{FILE_NAME}.{os.getpid()}"
    if path.exists():
        return path
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(_KEY_BYTES) + "\n")
    try:
        os.link(partial, path)  # fails where the file exists; a rename would replace it
    except FileExistsError:
        pass
    finally:
        partial.unlink()
    return path
