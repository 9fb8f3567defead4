"""
Keeps what is in memory in memory.

Python cannot wipe a value, so it stays in a process until that ends, or longer, if the process ends in a core
file. Nothing else about memory is promised here: what the system swaps out is the system's.
"""

from __future__ import annotations

import ctypes
import logging
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4
"""The number of the request to Linux; see prctl(2)."""

logger = logging.getLogger(__name__)


def keep_to_this_process() -> None:
    """
    Let this process, and children that it forks, leave no core file, and let no other process of this user look in.

    The limit alone would not do: where the system pipes core files to a program, it is not asked. What Linux
    calls "not dumpable" is; it also closes `/proc/<pid>/environ`, `mem` and `fd` and `ptrace` to all but root, so
    that one process of a user cannot take the keys, or the login to the store, out of another. The limit is for
    systems that are not Linux, and for programs that are started from here.

    Called by every source of credentials when it is made, so before there is a value. There is no way back, and
    no setting: whoever wants to look into such a process does so as root.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    # The most is left as it is: a child that holds nothing of ours may raise its own limit again.
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform == "linux":
        refused = ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if refused:  # pragma: no cover - only where a filter of system calls forbids it
            logger.warning("The system does not let this process be kept out of core files; only the limit is set.")
