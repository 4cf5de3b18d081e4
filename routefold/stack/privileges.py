"""Runs PostgreSQL as an ordinary user when we are root: it refuses to run as root.

As root in a container the checkout and the state directory often lie below a directory that only
root may enter (/root, a fresh temporary directory). Opening those directories to everybody, as some
packages do, would change the machine; so the server instead keeps one capability, CAP_DAC_OVERRIDE,
which lets it pass them. It can gain no other: no_new_privs is set.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from routefold.stack.errors import RootRefused

_ORDINARY_USER = "nobody"  # exists on every system; initdb wants a user that has a name
_KEPT_CAPABILITY = "-all,+dac_override"
_REMEDY = "Run as another user, or set ROUTEFOLD_POSTGRES_DSN to a server that runs elsewhere."
_TRIAL_TIMEOUT_S = 10


def step_down(directory: Path) -> list[str]:
    """The words to put before a command so that it may run as owner of `directory`.

    Nothing unless we are root. As root the directory is given to an ordinary user (or stays with
    the one it belongs to); nothing above it changes. Raises RootRefused.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise RootRefused(
            "PostgreSQL refuses to run as root, and setpriv (util-linux) is not installed. "
            + _REMEDY
        )
    user = _owner_or_ordinary_user(directory)
    prefix = [
        setpriv,
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        f"--inh-caps={_KEPT_CAPABILITY}",
        f"--ambient-caps={_KEPT_CAPABILITY}",
        # access(2), with which initdb looks for its programs, else forgets the capability
        "--securebits=+no_setuid_fixup",
        "--no-new-privs",
        "--pdeathsig=keep",  # a change of user clears what _guard.py asked for
    ]
    _try(prefix)
    os.chown(directory, user.pw_uid, user.pw_gid)
    return prefix


def _owner_or_ordinary_user(directory: Path) -> pwd.struct_passwd:
    owner = directory.stat().st_uid
    try:
        return pwd.getpwuid(owner) if owner != 0 else pwd.getpwnam(_ORDINARY_USER)
    except KeyError as error:
        who = f"the owner of {directory}, {owner}," if owner != 0 else f"{_ORDINARY_USER!r}"
        raise RootRefused(
            f"PostgreSQL refuses to run as root, and {who} is not a user of this system. {_REMEDY}"
        ) from error


def _try(prefix: list[str]) -> None:
    try:
        subprocess.run(  # noqa: S603 - setpriv with our own options
            [*prefix, "true"], capture_output=True, check=True, timeout=_TRIAL_TIMEOUT_S
        )
    except subprocess.SubprocessError as error:
        output = getattr(error, "stderr", None) or str(error).encode()
        detail = output.decode(errors="replace").strip().replace("\n", "; ")
        raise RootRefused(
            f"PostgreSQL refuses to run as root, and this container won't let us step down "
            f"({detail}). {_REMEDY}"
        ) from error
