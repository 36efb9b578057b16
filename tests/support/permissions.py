"""Checks as somebody who may not read everything."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

_NOT_ROOT = 65534


def as_nobody(check: Callable[[], object]) -> None:
    """Run ``check`` in a child that is not root, because root may read everything; its failure fails the test."""
    child = os.fork()
    if not child:
        code = 1
        try:
            if os.getuid() == 0:
                os.setgid(_NOT_ROOT)
                os.setuid(_NOT_ROOT)
            check()
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
