"""Migrations bring an empty database to the schema of the rows, from wherever the package lies."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from service.migrations.upgrade import migration_config, upgrade
from service.store.agents import Devices
from service.store.database import Database
from service.store.jobs import Jobs
from service.store.rows import Row
from service.store.stations import Stations

THEN = "2026-01-02 03:04:05.000000"
OLD_ROWS = (
    f"INSERT INTO agents VALUES ('agent-1', 'machine', 'host', '{THEN}', '{THEN}')",
    "INSERT INTO devices (id, identity, name, agent_id, kind, labels, facts, created_at, last_seen_at) VALUES "
    f"""('device-1', 'machine', 'laptop', 'agent-1', 'local', '{{"room": "lab"}}', '{{}}', '{THEN}', '{THEN}')""",
    "INSERT INTO jobs (id, device_id, purpose, cache_key, bypasses_cache, plan, priority, state, token, not_before, "
    "created_at, outcome, detail) VALUES "
    f"('job-1', 'device-1', 'single', 'key', 0, '{{}}', 0, 'waiting', 0, '{THEN}', '{THEN}', '', '')",
)


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
    assert ScriptDirectory.from_config(migration_config()).get_heads() == ["0003"]


def test_a_database_of_the_first_schema_keeps_its_devices_and_jobs(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'loopfront.sqlite'}")
    config = migration_config()
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "0001")
        for line in OLD_ROWS:
            session.execute(text(line))
    upgrade(database)
    with database.write() as session:
        device = Devices(session).get("device-1")
        assert (device.labels, device.agent_labels, device.label_changes) == ({"room": "lab"},) * 2 + ({},)
        assert (device.paused_at, device.quarantined_at, device.fault_run) == (None, None, 0)
        assert Stations(session).all() == []
        job = Jobs(session).lease("agent-1", ["device-1"], 30)
        assert job is not None
        Jobs(session).report(job.id, job.token, {"kind": "throttled", "reason": "hot", "log": ""})
        assert Devices(session).get("device-1").fault_run == 1
    database.close()


def test_the_second_schema_can_be_undone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'loopfront.sqlite'}")
    upgrade(database)
    config = migration_config()
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.downgrade(config, "0001")
    upgrade(database)
    database.close()
