"""Migrations bring an empty database to the schema of the rows, from wherever the package lies."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from service.migrations.upgrade import migration_config, upgrade
from service.settings import Settings
from service.store.agents import Devices
from service.store.database import Database, sqlite_url
from service.store.jobs import Jobs
from service.store.measurements import Measurements
from service.store.rows import Row
from service.store.stations import Stations

THEN = "2026-01-02 03:04:05.000000"
OLD_ROWS = (
    f"INSERT INTO agents VALUES ('agent-1', 'machine', 'host', '{THEN}', '{THEN}')",
    "INSERT INTO devices (id, identity, name, agent_id, kind, labels, facts, created_at, last_seen_at) VALUES "
    f"""('device-1', 'machine', 'laptop', 'agent-1', 'local', '{{"room": "lab"}}', '{{}}', '{THEN}', '{THEN}')""",
    "INSERT INTO jobs (id, device_id, purpose, cache_key, bypasses_cache, plan, priority, state, token, not_before, "
    "created_at, outcome, detail) VALUES "
    f"('job-1', 'device-1', 'single', 'key', FALSE, '{{}}', 0, 'waiting', 0, '{THEN}', '{THEN}', '', '')",
    "INSERT INTO measurements (id, cache_key, job_id, device_id, kind, outcome, created_at) VALUES "
    f"""('measurement-1', 'old', 'job-0', 'device-1', 'measured', '{{"kind": "measured"}}', '{THEN}')""",
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
    assert ScriptDirectory.from_config(migration_config()).get_heads() == ["0006"]


REVISIONS = ["0001", "0002", "0003", "0004", "0005", "0006"]


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_every_schema_keeps_its_devices_and_jobs(
    tmp_path: Path, every_database: str, revision: str
) -> None:
    settings = Settings(data_folder=tmp_path)
    database = Database(settings.database_url or sqlite_url(settings.database_file))
    migrate(database, "0001", OLD_ROWS)
    migrate(database, revision)
    upgrade(database)
    with database.write() as session:
        device = Devices(session).get("device-1")
        assert (device.labels, device.agent_labels, device.label_changes) == ({"room": "lab"},) * 2 + ({},)
        assert (device.paused_at, device.quarantined_at, device.fault_run) == (None, None, 0)
        assert Stations(session).all() == []
        measurements = Measurements(session)
        assert measurements.outcome_of(measurements.get("measurement-1")) == {"kind": "measured"}
        job = Jobs(session).lease("agent-1", ["device-1"], 30)
        assert job is not None
        Jobs(session).report(job.id, job.token, {"kind": "throttled", "reason": "hot", "log": ""})
        assert Devices(session).get("device-1").fault_run == 1
    database.close()


def test_the_revisions_that_are_tried_are_all() -> None:
    script = ScriptDirectory.from_config(migration_config())
    assert sorted(each.revision for each in script.walk_revisions()) == REVISIONS


def migrate(database: Database, revision: str, lines: Sequence[str] = ()) -> None:
    """Bring a database up to one schema, and write what a service of then had written."""
    config = migration_config()
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, revision)
        for line in lines:
            session.execute(text(line))


def test_the_second_schema_can_be_undone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'loopfront.sqlite'}")
    upgrade(database)
    config = migration_config()
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.downgrade(config, "0001")
    upgrade(database)
    database.close()
