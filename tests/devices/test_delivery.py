"""Handing results in: one that can't be handed in holds up no other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devices.delivery import Delivery
from devices.errors import ServiceStumbled
from devices.outcome import RunnerFault, outcome_from_dict
from devices.service_link import Receipt, ServiceLink
from devices.spool import Spool
from devices.worker import _sendable


class StumblingLink(ServiceLink):
    """A link in a service's place that answers 500 to one job."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.taken: list[str] = []

    def report(self, job_id: str, token: int, outcome: Mapping[str, Any]) -> Receipt:
        if job_id == "stumbles":
            raise ServiceStumbled("500")
        if job_id == "unwritable":
            raise ValueError("Out of range float values are not JSON compliant")
        self.taken.append(job_id)
        return Receipt.STORED


def test_a_result_over_which_the_service_stumbles_waits_and_the_others_arrive(tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, "http://service")
    for job_id in ("first", "stumbles", "unwritable", "last"):
        delivery.put(job_id, 1, {"kind": "timed_out"})
    with StumblingLink() as link:
        with pytest.raises(ServiceStumbled):
            delivery.deliver(link)
        assert link.taken == ["first", "last"]
    assert [each.job_id for each in Spool(tmp_path, "http://service").waiting()] == ["stumbles"]
    assert [path.name for path in (tmp_path / "refused").iterdir()] == ["unwritable-1.json"]


def test_what_another_service_is_to_have_waits_for_that_one(tmp_path: Path) -> None:
    Delivery(tmp_path, "http://one").put("a", 1, {})
    assert Spool(tmp_path, "http://two").waiting() == []
    assert [each.job_id for each in Spool(tmp_path, "http://one").waiting()] == ["a"]


@pytest.mark.parametrize("text", ["\ud800", "fine"])
def test_what_no_json_holds_becomes_a_fault_that_can_be_sent(text: str) -> None:
    told = _sendable(RunnerFault(text, f"log {text}"))
    outcome = outcome_from_dict(told)
    assert isinstance(outcome, RunnerFault)
    assert ("can't be passed on" in outcome.reason) == (text != "fine")
    assert outcome.log.replace("\n", "").isprintable()
