"""Run as a script: arranges to die with the parent process, then becomes the given program.

    python -I -S _guard.py SIGNAL PARENT_PID PROGRAM [ARGUMENT...]

A program of its own because the alternative, Popen(preexec_fn=...), runs Python between fork and
exec: in a process with threads that can deadlock. On systems without PR_SET_PDEATHSIG it only
becomes the program; what a killed run leaves there is found by the next start.

A signal that is ignored stays so through fork and exec, and a shell without job control has its
background jobs ignore SIGQUIT. So the signal gets its default action first, or it would end nobody.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def _die_with_parent(death_signal: int, parent_pid: int) -> None:
    import ctypes

    if death_signal != signal.SIGKILL:
        signal.signal(death_signal, signal.SIG_DFL)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:  # it died before the kernel knew
        raise SystemExit("the parent process is gone")


if __name__ == "__main__":
    if sys.platform == "linux":
        _die_with_parent(int(sys.argv[1]), int(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606 - this is the purpose
