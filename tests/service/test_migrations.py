"""Migrations bring an empty database to the schema of the rows, from wherever the package lies."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from service.migrations.upgrade import migration_config, upgrade
from service.store.database import Database
from service.store.rows import Row


def test_the_migrations_and_the_rows_say_the_same(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'loopfront.sqlite'}")
    upgrade(database)
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": False})
        assert compare_metadata(context, Row.metadata) == []
    database.close()


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'loopfront.sqlite'}")
    upgrade(database)
    upgrade(database)
    database.close()


def test_the_newest_migration_is_found_beside_the_code() -> None:
    assert ScriptDirectory.from_config(migration_config()).get_heads() == ["0002"]
