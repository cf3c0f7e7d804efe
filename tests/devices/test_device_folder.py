"""Loopfront's folder on a device: where things lie, and that it does not grow without end."""

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


def test_a_file_is_held_only_under_its_final_name(tmp_path: Path) -> None:
    folder = DeviceFolder(LocalConnection(), str(tmp_path))
    path = folder.pool_path(a_pool(1))
    LocalConnection().push(b"x", f"{path}.12.part")
    assert not folder.holds(path)
    LocalConnection().push(b"x", path)
    assert folder.holds(path)
