"""Run a program's module where nothing of `loopfront[server]` can be imported, as on a lab host.

`python without_server_part.py service.cli agent --help` is `python -m service.cli agent --help` there.
"""

import importlib.abc
import importlib.machinery
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType

from service.server_part import SERVER_MODULES


class Absent(importlib.abc.MetaPathFinder):
    """Finds what the server part brings to be missing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in SERVER_MODULES:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent())
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
