"""A full disk is one clear answer, and what was stored stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from service.data_folder import full_disk
from service.errors import StorageFull
from service.migrations.upgrade import upgrade
from service.store.agents import Agents
from service.store.database import Database
from service.store.trials import Candidates


@pytest.fixture
def nearly_full(tmp_path: Path) -> Iterator[Database]:
    """A database that SQLite itself refuses to let grow, as on a full disk."""
    database = Database(f"sqlite:///{tmp_path / 'loopfront.sqlite'}")
    upgrade(database)
    with database.write() as session:
        Agents(session).register("kept", "kept")
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count={pages}"))
    yield database
    database.close()


def test_a_full_disk_is_storage_full_and_loses_nothing(nearly_full: Database) -> None:
    with pytest.raises(StorageFull), nearly_full.write() as session:
        for number in range(1000):
            Candidates(session).keep(f"{number:064}", "C" * 100, {"simulated": "x" * 1000})
    with nearly_full.read() as session:
        assert [agent.name for agent in Agents(session).all()] == ["kept"]


def test_a_file_system_without_room_is_said_to_be_full(tmp_path: Path) -> None:
    assert full_disk(Path("/proc")) == (
        "the disk of /proc is full (0.0 MB free): what is measured waits to be stored; free some space"
    )
    assert full_disk(tmp_path) == ""
