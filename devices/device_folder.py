"""Loopfront's folder on a device: weight pools, and graphs beside the pool they refer to."""

import posixpath
import threading
from collections import Counter

from devices import remote_shell
from devices.connection import Connection, Limits
from devices.plan import ModelFiles, PoolSpec
from devices.runner_plan import PlacedModel

# Candidates of one budget share few pools, so a handful serves a study; each is as large as its weights.
MAXIMUM_POOLS = 6

_LIMITS = Limits(deadline_s=60.0, silence_s=60.0)


class DeviceFolder:
    """Know what lies on a device, and keep it from growing without end."""

    def __init__(self, connection: Connection, root: str) -> None:
        self._connection = connection
        self._root = root
        # Oldest use first; pools of an earlier agent count as oldest.
        self._used: list[str] = []
        self._entered: Counter[str] = Counter()
        self._whole: set[str] = set()

    @property
    def plan_path(self) -> str:
        """Where the plan of the runner's next task lies."""
        return posixpath.join(self._root, "plan.txt")

    @property
    def governors_path(self) -> str:
        """Where the lab profile notes the governors that it changed."""
        return posixpath.join(self._root, "governors")

    def place(self, model: ModelFiles) -> PlacedModel:
        """Tell where a model's graph and pool belong; nothing is written."""
        pool_path = self.pool_path(model.pool)
        graph_path = posixpath.join(posixpath.dirname(pool_path), f"{model.graph_sha256}.onnx")
        return PlacedModel(model, graph_path, pool_path)

    def pool_path(self, pool: PoolSpec) -> str:
        """Tell where a pool belongs; graphs find it by this name, beside themselves."""
        return posixpath.join(self._root, "pools", pool.digest, "pool.bin")

    def holds(self, path: str) -> bool:
        """Tell whether a graph is there and whole, as a device that lost its power may have lost what was written last.

        That is looked at once for each opening of the device.
        """
        if path not in self._whole:
            folder, name = posixpath.split(path)
            told = self._connection.run(
                remote_shell.digests(folder, [name]), _LIMITS, threading.Event()
            ).lines
            if remote_shell.read_digests(told).get(name) == name.removesuffix(".onnx"):
                self._whole.add(path)
        return path in self._whole

    def doubt(self, path: str) -> None:
        """Look at a graph anew before it is used again."""
        self._whole.discard(path)

    def enter(self, path: str) -> None:
        """Note that a measurement begins to need a file."""
        self._entered[path] += 1

    def leave(self, path: str) -> bool:
        """Note that a measurement no longer needs a file; tell whether another still does."""
        self._entered[path] = max(0, self._entered[path] - 1)
        return self._entered[path] > 0

    def make_room(self, pools_in_use: set[str]) -> None:
        """Remove the pools that were used longest ago, never those in use; without a look where no pool is new.

        In use are those of the measurement that begins and of all that are under way.
        """
        if pools_in_use <= set(self._used):
            self._used = [*(each for each in self._used if each not in pools_in_use), *sorted(pools_in_use)]
            return
        pools = posixpath.join(self._root, "pools")
        entered = (path for path, count in self._entered.items() if count and path.endswith("/pool.bin"))
        pools_in_use = pools_in_use | {posixpath.basename(posixpath.dirname(path)) for path in entered}
        present = self._connection.names(pools)
        strangers = sorted(present - set(self._used) - pools_in_use)
        known = [digest for digest in self._used if digest in present and digest not in pools_in_use]
        removable = [*strangers, *known]
        surplus = len(removable) + len(pools_in_use) - MAXIMUM_POOLS
        for digest in removable[: max(0, surplus)]:
            self._connection.remove(posixpath.join(pools, digest))
        self._used = [*known[-MAXIMUM_POOLS:], *sorted(pools_in_use)]
