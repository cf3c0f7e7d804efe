"""More threads than a device has cores are refused at once, or as soon as the device is known."""

from pathlib import Path

import pytest
from serving import HandDrivenAgent, a_service, a_small_study, wait_for_end

from service.api.schemas import MeasurementWish, WorkloadGiven
from service.errors import ServiceError

FOUR_THREADS = a_small_study().replace("generate_tokens: 16", "generate_tokens: 16, threads: 4")


def test_a_study_for_a_known_device_is_refused_with_the_field_and_creates_nothing(tmp_path: Path) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        HandDrivenAgent(running.url, cores=2).close()
        for send in (client.validate_study, client.submit_study):
            with pytest.raises(ServiceError) as refusal:
                send(FOUR_THREADS)
            assert (refusal.value.status, refusal.value.field) == (422, "workload.threads")
            assert "simulated-laptop has 2 cores" in refusal.value.line
        assert client.studies() == []


def test_a_single_measurement_is_refused_too(tmp_path: Path) -> None:
    wish = MeasurementWish(layout="CCA", workload=WorkloadGiven(threads=4))
    with a_service(tmp_path) as running, running.client() as client:
        HandDrivenAgent(running.url, cores=2).close()
        with pytest.raises(ServiceError, match="has 2 cores"):
            client.measure(wish)


def test_a_study_submitted_before_its_device_registered_fails_with_the_reason(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        client.submit_study(FOUR_THREADS)
        HandDrivenAgent(running.url, cores=2).close()
        assert wait_for_end(client, "small") == "failed"
        assert (
            "workload.threads: 4 can't be used: simulated-laptop has 2 cores" in client.study("small").detail
        )


def test_as_many_threads_as_cores_are_accepted_and_so_are_untold_cores(tmp_path: Path) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        HandDrivenAgent(running.url).close()
        assert client.validate_study(FOUR_THREADS).name == "small"
        HandDrivenAgent(running.url, cores=4).close()
        assert client.validate_study(FOUR_THREADS).name == "small"
