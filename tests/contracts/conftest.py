"""The database that a contract is tested on: each one that is supported."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.migrations.upgrade import upgrade
from service.settings import Settings
from service.store.database import Database, sqlite_url


@pytest.fixture
def database(every_database: str, tmp_path: Path) -> Iterator[Database]:
    """A database at the newest schema."""
    settings = Settings(data_folder=tmp_path)
    database = Database(settings.database_url or sqlite_url(settings.database_file))
    upgrade(database)
    yield database
    database.close()
