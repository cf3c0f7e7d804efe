"""Run a module as `__main__` and end its process group when the parent's end of stdin closes."""

import os
import runpy
import signal
import sys
import threading
import time

GRACE_S = 3.0


def main() -> None:
    """Take the module's name and its arguments from the command line."""
    parent_pipe = os.dup(0)
    os.set_inheritable(parent_pipe, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # grandchildren must not hold or read the pipe
    os.close(nothing)
    threading.Thread(target=_end_with_parent, args=(parent_pipe,), daemon=True, name="parent-watch").start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_parent(pipe: int) -> None:
    while os.read(pipe, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
