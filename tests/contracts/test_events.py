"""The contract of events: a reader that goes on from where it was misses none, whichever transaction ends first."""

import threading
from datetime import timedelta

import pytest

from service.store.database import Database
from service.store.events import EventPlace, Events
from service.store.rows import EventRow


def read(database: Database, place: EventPlace) -> list[str]:
    with database.read() as session:
        return [str(event.data["name"]) for event in Events(session).after(place, 100)]


def add(database: Database, name: str) -> None:
    with database.write() as session:
        Events(session).add("study", None, name=name)


def test_events_are_read_in_order_from_behind_a_place(database: Database) -> None:
    for name in ("one", "two", "three"):
        add(database, name)
    with database.read() as session:
        events = Events(session).after(EventPlace(0, 0), 2)
        assert Events(session).newest() > events[-1].place
    assert [event.data["name"] for event in events] == ["one", "two"]
    assert read(database, events[-1].place) == ["three"]
    assert EventPlace.read(str(events[-1].place)) == events[-1].place


def test_an_event_whose_transaction_ends_late_is_not_skipped(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        add(database, "slow")  # there one transaction writes at a time
        add(database, "quick")
        assert read(database, EventPlace(0, 0)) == ["slow", "quick"]
        return
    has_written, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        with database.write() as session:
            Events(session).add("study", None, name="slow")
            has_written.set()
            may_end.wait(10)

    thread = threading.Thread(target=slow)
    thread.start()
    has_written.wait(10)
    add(database, "quick")
    assert read(database, EventPlace(0, 0)) == [], "what is behind it waits for the slow one"
    may_end.set()
    thread.join()
    assert read(database, EventPlace(0, 0)) == ["slow", "quick"]


def test_events_are_forgotten_after_a_week(database: Database) -> None:
    add(database, "old")
    with database.write() as session:
        for row in session.query(EventRow):
            row.at -= timedelta(days=8)
    add(database, "new")
    with database.write() as session:
        Events(session).forget_old()
    assert read(database, EventPlace(0, 0)) == ["new"]


def test_a_reader_goes_on_after_a_quiet_week(database: Database) -> None:
    add(database, "old")
    with database.write() as session:
        place = Events(session).newest()
        for row in session.query(EventRow):
            row.at -= timedelta(days=8)
    with database.write() as session:
        Events(session).forget_old()
    add(database, "new")
    assert read(database, place) == ["new"]


def test_a_reader_goes_on_where_the_database_was_restored_on_another_server(database: Database) -> None:
    add(database, "seen")
    add(database, "not seen yet")
    with database.read() as session:
        numbers = [event.place.number for event in Events(session).after(EventPlace(0, 0), 10)]
    far_ahead = 0 if database.has_one_writer else 10**9
    with database.write() as session:  # there, transactions had higher numbers
        session.query(EventRow).update({EventRow.transaction: EventRow.transaction + far_ahead})
        place = session.query(EventRow.transaction).filter(EventRow.number == numbers[0]).scalar()
    with database.write() as session:
        Events(session).mend_order()
    add(database, "new")
    assert read(database, EventPlace(place, numbers[0])) == ["not seen yet", "new"]


@pytest.mark.parametrize("written", ["", "1", "1-", "-1", "a-1", "1-" + "9" * 30, f"{2**63}-1"])
def test_what_is_no_place_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        EventPlace.read(written)
