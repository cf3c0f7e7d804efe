"""The contract of leads: one process at a time, another once it died, and nothing written by one that was replaced."""

import threading
import time

import pytest

from service.errors import LeadLost
from service.leadership import Leadership
from service.store.database import Database
from service.store.leads import Leads, LedDatabase
from tests.contracts.store_builders import a_study


def claim(database: Database, leader: str, seconds: float = 30.0) -> int | None:
    with database.write() as session:
        return Leads(session).claim("study", leader, seconds)


def test_only_one_leads_until_its_lead_expires_or_is_given_back(database: Database) -> None:
    first = claim(database, "one", seconds=0.2)
    assert first is not None
    assert claim(database, "two") is None
    time.sleep(0.25)
    second = claim(database, "two")
    assert second == first + 1
    assert claim(database, "one") is None
    with database.write() as session:
        Leads(session).release({"study": second})
    assert claim(database, "one") == second + 1


def test_a_leader_that_starts_again_under_its_name_leads_at_once(database: Database) -> None:
    assert claim(database, "one") == 1
    assert claim(database, "one") == 2


def test_what_a_replaced_leader_writes_is_not_kept(database: Database) -> None:
    old = LedDatabase(database, "study", claim(database, "one", seconds=0.01) or 0)
    a_study(old, "while leading")
    time.sleep(0.05)
    a_study(old, "expired, but nobody else leads")
    new = LedDatabase(database, "study", claim(database, "two") or 0)
    with pytest.raises(LeadLost):
        a_study(old, "too late")
    a_study(new, "by the new leader")
    with database.read() as session:
        from service.store.studies import Studies

        names = {row.name for row in Studies(session).all()}
    assert names == {"while leading", "expired, but nobody else leads", "by the new leader"}


def test_of_many_that_claim_at_once_one_leads(database: Database) -> None:
    tokens: list[int | None] = []
    barrier = threading.Barrier(8)

    def race(number: int) -> None:
        barrier.wait()
        tokens.append(claim(database, f"leader {number}"))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [token for token in tokens if token is not None] == [1]


def test_what_is_led_stays_led_until_it_is_given_back(database: Database) -> None:
    leadership = Leadership(database, lead_seconds=0.6)
    leadership.start()
    try:
        assert leadership.claim("study") is not None
        time.sleep(1.2)
        assert leadership.holds("study")
        assert claim(database, "another") is None
    finally:
        leadership.stop()
    assert claim(database, "another") is not None


def test_one_that_slept_too_long_learns_that_another_leads(database: Database) -> None:
    leadership = Leadership(database, lead_seconds=0.5)
    assert leadership.claim("study") is not None
    time.sleep(0.6)
    assert claim(database, "another") is not None
    leadership.start()
    deadline = time.monotonic() + 10
    while leadership.holds("study"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    leadership.stop()
