import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from service.store import database as module
from service.store.database import Database, database_now
from service.store.rows import AgentRow


def test_reads_in_between_do_not_make_the_database_plan_a_statement_again(database: Database) -> None:
    if database.has_one_writer:
        pytest.skip("SQLite plans within the process")
    query = select(AgentRow.id).where(AgentRow.name == "nobody")
    for _ in range(10):
        with database.write() as session:
            session.execute(query)
        with database.read() as session:
            session.execute(query)
    with database.read() as session:
        prepared = session.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
        assert prepared, "a rollback at the end of each read would have thrown them away"


def test_a_read_sees_what_was_written_before_it(database: Database) -> None:
    with database.write() as session:
        now = database_now(session)
        session.add(AgentRow(id="agent", identity="host", name="host", created_at=now, last_seen_at=now))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AgentRow)) == 1


def test_what_fails_is_taken_back_whole(database: Database) -> None:
    with pytest.raises(KeyError), database.write() as session:
        now = database_now(session)
        session.add(AgentRow(id="agent", identity="host", name="host", created_at=now, last_seen_at=now))
        session.flush()
        raise KeyError
    with database.read() as session:
        assert session.get(AgentRow, "agent") is None


def test_many_who_write_at_once_all_come_to_their_turn(database: Database) -> None:
    with database.write() as session:
        now = database_now(session)
        session.add(AgentRow(id="agent", identity="host", name="0", created_at=now, last_seen_at=now))

    def count() -> None:
        for _ in range(5):
            with database.write() as session:
                row = session.scalars(select(AgentRow).with_for_update()).one()
                row.name = str(int(row.name) + 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get_one(AgentRow, "agent").name == "40"


def test_the_time_is_the_databases_and_goes_on_between_two_looks_at_it(database: Database) -> None:
    with database.read() as session:
        first = database_now(session)
        time.sleep(module.CLOCK_READ_EVERY_S / 2)
        followed = database_now(session)
        time.sleep(module.CLOCK_READ_EVERY_S)
        read_anew = database_now(session)
    assert timedelta(0) < followed - first < read_anew - first < timedelta(seconds=5)
    assert first.utcoffset() == timedelta(0)
