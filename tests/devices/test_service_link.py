"""The agent's side of the protocol, against a real HTTP server."""

import hashlib

import pytest

from devices.errors import BlobDamaged, LeaseSuperseded, ProtocolMismatch, ServiceAway, ServiceRefused
from devices.service_link import PROTOCOL_VERSION, DeviceRegistration, Receipt, ServiceLink
from tests.devices.tiny_service import TinyService

DEVICE = DeviceRegistration("machine", "laptop", "local", {"room": "lab"}, {"cores": 2})


def test_a_device_is_registered_and_a_job_leased_reported_and_reported_again() -> None:
    with TinyService() as service, ServiceLink(service.url) as link:
        service.enqueue("job-1", {"a": 1})
        registered = link.register("laptop", "machine", [DEVICE])
        assert registered.device_ids == {"machine": "id-machine"}
        assert service.registrations[0]["devices"][0]["labels"] == {"room": "lab"}
        lease = link.lease(registered.agent_id, ["id-machine"], 1.0)
        assert lease is not None
        assert (lease.job_id, lease.token, lease.plan) == ("job-1", 1, {"a": 1})
        assert link.heartbeat("job-1", 1) == 3.0
        assert link.report("job-1", 1, {"kind": "timed_out"}) is Receipt.STORED
        assert link.report("job-1", 1, {"kind": "timed_out"}) is Receipt.ALREADY_STORED
        assert link.lease(registered.agent_id, ["id-machine"], 0.1) is None


def test_a_newer_token_ends_the_lease() -> None:
    with TinyService() as service, ServiceLink(service.url) as link:
        service.superseded.add("job-1")
        with pytest.raises(LeaseSuperseded, match="superseded"):
            link.heartbeat("job-1", 1)


def test_nobody_at_the_address_is_away_not_refused() -> None:
    with TinyService() as service, ServiceLink(service.url) as link:
        service.go_away()
        with pytest.raises(ServiceAway, match=service.url):
            link.heartbeat("job-1", 1)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_service_in_trouble_is_away(status: int) -> None:
    with TinyService() as service, ServiceLink(service.url) as link:
        service.refusal = (status, {"title": "database is locked"})
        with pytest.raises(ServiceAway, match=f"{status} database is locked"):
            link.lease("agent-1", ["id"], 0.1)


def test_another_protocol_version_is_refused_with_the_command_that_mends_it() -> None:
    with TinyService() as service, ServiceLink(service.url) as link:
        service.refusal = (426, {"title": "Upgrade", "hint": "type: pip install --upgrade loopfront"})
        with pytest.raises(ProtocolMismatch, match="pip install --upgrade loopfront"):
            link.register("laptop", "machine", [DEVICE])


def test_an_answer_of_another_shape_is_refused_in_words() -> None:
    with TinyService() as service, ServiceLink(service.url) as link:
        service.refusal = (200, {"job": 1})
        with pytest.raises(ServiceRefused, match=f"not of protocol {PROTOCOL_VERSION}"):
            link.lease("agent-1", ["id"], 0.1)


def test_a_blob_is_believed_only_with_its_digest() -> None:
    digest = hashlib.sha256(b"graph").hexdigest()
    with TinyService({digest: b"graph", "0" * 64: b"graph"}) as service, ServiceLink(service.url) as link:
        assert link.blob(digest) == b"graph"
        with pytest.raises(BlobDamaged, match="arrived with digest"):
            link.blob("0" * 64)
        with pytest.raises(ServiceRefused, match="no such blob"):
            link.blob("1" * 64)
