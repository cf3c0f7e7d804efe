"""Loopfront's folder on a device: where things lie, and that it does not grow without end."""

import hashlib
from pathlib import Path

from devices.device_folder import MAXIMUM_POOLS, DeviceFolder
from devices.local import LocalConnection
from devices.plan import ModelFiles, PoolSection, PoolSpec


def a_pool(seed: int) -> PoolSpec:
    return PoolSpec(seed, (PoolSection("bytes", 1),))


def use(folder: DeviceFolder, *pools: PoolSpec) -> None:
    folder.make_room({pool.digest for pool in pools})
    for pool in pools:
        LocalConnection().push(b"x", folder.pool_path(pool))


def present(root: Path) -> set[str]:
    return {entry.name for entry in (root / "pools").iterdir()}


def test_a_graph_lies_beside_its_pool(tmp_path: Path) -> None:
    model = ModelFiles("m", "ab" * 32, 1, a_pool(1), 2, False, ())
    placed = DeviceFolder(LocalConnection(), str(tmp_path)).place(model)
    assert Path(placed.graph_path).parent == Path(placed.pool_path).parent
    assert Path(placed.pool_path).name == "pool.bin"


def test_the_pools_used_longest_ago_make_room(tmp_path: Path) -> None:
    folder = DeviceFolder(LocalConnection(), str(tmp_path))
    sentinel = a_pool(0)
    for seed in range(1, MAXIMUM_POOLS + 3):
        use(folder, sentinel, a_pool(seed))
    kept = [a_pool(seed).digest for seed in range(4, MAXIMUM_POOLS + 3)]
    assert present(tmp_path) == {sentinel.digest, *kept}
    assert len(present(tmp_path)) == MAXIMUM_POOLS


def test_pools_of_an_earlier_agent_go_first_but_never_one_in_use(tmp_path: Path) -> None:
    for seed in range(MAXIMUM_POOLS + 3):
        LocalConnection().push(b"x", str(tmp_path / "pools" / a_pool(seed).digest / "pool.bin"))
    folder = DeviceFolder(LocalConnection(), str(tmp_path))
    use(folder, a_pool(0), a_pool(100))
    assert {a_pool(0).digest, a_pool(100).digest} <= present(tmp_path)
    assert len(present(tmp_path)) == MAXIMUM_POOLS


def test_a_graph_is_held_only_under_its_final_name_and_whole(tmp_path: Path) -> None:
    folder = DeviceFolder(LocalConnection(), str(tmp_path))
    content = b"a graph"
    path = str(tmp_path / "pools" / "p" / f"{hashlib.sha256(content).hexdigest()}.onnx")
    LocalConnection().push(content, f"{path}.12.part")
    assert not folder.holds(path)
    LocalConnection().push(b"", path)  # as a device that lost its power may leave it
    assert not folder.holds(path)
    LocalConnection().push(content, path)
    assert folder.holds(path)
    Path(path).write_bytes(b"damaged")
    assert folder.holds(path), "it is looked at once for each opening"
    folder.doubt(path)
    assert not folder.holds(path)


def test_the_pools_of_measurements_under_way_stay(tmp_path: Path) -> None:
    folder = DeviceFolder(LocalConnection(), str(tmp_path))
    under_way = a_pool(0)
    use(folder, under_way)
    folder.enter(folder.pool_path(under_way))
    for seed in range(1, MAXIMUM_POOLS + 3):
        use(folder, a_pool(seed))
    assert under_way.digest in present(tmp_path)
    folder.leave(folder.pool_path(under_way))
    for seed in range(100, 100 + MAXIMUM_POOLS):
        use(folder, a_pool(seed))
    assert under_way.digest not in present(tmp_path)
