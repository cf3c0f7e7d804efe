"""Trials and fronts over real HTTP, on every database: pages, re-measuring, posted qualities, files."""

import csv
import io
from collections.abc import Iterator

import httpx2
import pyarrow.parquet
import pytest
from serving import Running, SimulatedWorker, a_service, a_small_study, as_owner, wait_for_end
from waiting import wait_until

from service.api.schemas import QualityGiven
from service.client import Client
from service.errors import ServiceError

OBJECTIVES = ["estimated_relative_loss", "tpot_ms_p50@laptop", "peak_rss_mb@laptop"]


@pytest.fixture(scope="module")
def running(every_database_once: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A study of six trials, the third of which failed for want of memory; what tests change of it stays changed."""
    with a_service(tmp_path_factory.mktemp("data"), with_loop=True) as running:
        with SimulatedWorker(running.url, failing_jobs=frozenset({4})), running.client() as client:
            client.submit_study(a_small_study(trials=6))
            assert wait_for_end(client, "small") == "finished"
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with running.client() as client:
        yield client


def get(running: Running, path: str) -> httpx2.Response:
    return as_owner("GET", f"{running.url}/api/v1/studies/small{path}")


def test_trials_are_listed_page_by_page_and_by_state_and_kind(running: Running, client: Client) -> None:
    first = get(running, "/trials?limit=4").json()
    second = get(running, f"/trials?limit=4&cursor={first['next_cursor']}").json()
    assert [each["number"] for page in (first, second) for each in page["items"]] == list(range(1, 8))
    assert second["next_cursor"] is None
    assert [trial.outcome for trial in client.trials("small", states=["failed"])] == ["out_of_memory"]
    assert [trial.kind for trial in client.trials("small", kinds=["reference"])] == ["reference"]
    assert get(running, "/trials?state=lost").status_code == 422


def test_a_trial_that_was_measured_gets_another_round(client: Client) -> None:
    number = client.trials("small", states=["measured"])[0].number
    with SimulatedWorker(client.url) as worker:
        client.remeasure("small", number)
        wait_until(lambda: len(worker.served) == 1)
        assert wait_for_end(client, "small") == "finished"
    rounds = client.trial("small", number).measurements
    assert [each.round for each in rounds] == [0, 1]
    assert all(each.outcome is not None for each in rounds)


def test_a_trial_that_failed_is_run_again(client: Client) -> None:
    number = client.trials("small", states=["failed"])[0].number
    with SimulatedWorker(client.url):
        client.remeasure("small", number)
        wait_until(lambda: client.trial("small", number).state == "measured")
        assert wait_for_end(client, "small") == "finished"
    assert client.studies()[0].trials_failed == 0


def test_a_quality_found_elsewhere_is_kept_with_where_it_is_from(client: Client) -> None:
    quality = QualityGiven(
        value=0.41, low=0.39, high=0.43, direction="maximize", source="lm-eval, 100 M tokens"
    )
    client.post_quality("small", 2, "hellaswag", quality)
    shown = client.post_quality("small", 2, "hellaswag", quality.model_copy(update={"value": 0.42}))
    (kept,) = shown.external_quality
    assert (kept.metric, kept.value, kept.source) == ("hellaswag", 0.42, "lm-eval, 100 M tokens")
    assert "hellaswag" not in shown.observations, "what nobody here measured stands by itself"
    with pytest.raises(ServiceError, match="outside of its interval"):
        client.post_quality("small", 2, "hellaswag", quality.model_copy(update={"value": 0.5}))


def test_a_front_by_fewer_objectives_is_another_front_with_its_own_volume(client: Client) -> None:
    whole, fast = client.front("small"), client.front("small", ["tpot_ms_p50@laptop"])
    assert [each.name for each in whole.objectives] == OBJECTIVES
    assert whole.reference_point_is_frozen == fast.reference_point_is_frozen
    assert len(fast.trials) == 1
    assert fast.trials[0].observations["tpot_ms_p50@laptop"].value == min(
        trial.observations["tpot_ms_p50@laptop"].value
        for trial in client.trials("small", states=["measured"], kinds=["trial", "enqueued"])
        if trial.observations["peak_rss_mb@laptop"].value <= 110
    )
    assert fast.reference_point is not None
    assert fast.hypervolume == pytest.approx(
        fast.reference_point[0] - fast.trials[0].observations["tpot_ms_p50@laptop"].value
    )
    other = client.front("small", ["ttft_ms_p50@laptop"])
    assert not other.reference_point_is_frozen, "it is no objective of the study"


def test_an_objective_that_is_named_in_two_ways_counts_once(client: Client) -> None:
    twice = client.front("small", ["tpot_ms_p50@laptop", " tpot_ms_p50@laptop"])
    assert twice == client.front("small", ["tpot_ms_p50@laptop"])


@pytest.mark.parametrize("name", ["speed", "tpot_ms_p50", "tpot_ms_p50@phone", "tpot_ms_p50_at_4096@laptop"])
def test_an_objective_that_is_not_measured_is_refused_by_name(client: Client, name: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        client.front("small", [name])
    assert refusal.value.field == "objectives"


def test_a_front_is_written_as_csv_and_parquet(client: Client) -> None:
    front = client.front("small")
    rows = list(csv.DictReader(io.StringIO(client.front_file("small", (), "csv").decode())))
    table = pyarrow.parquet.read_table(io.BytesIO(client.front_file("small", (), "parquet"))).to_pylist()
    assert [int(row["number"]) for row in rows] == [trial.number for trial in front.trials]
    for row, typed, trial in zip(rows, table, front.trials, strict=True):
        value = trial.observations["tpot_ms_p50@laptop"]
        assert float(row["tpot_ms_p50@laptop"]) == typed["tpot_ms_p50@laptop"] == value.value
        assert typed["tpot_ms_p50@laptop.raw"] == value.raw
        assert typed["knee"] == (trial.number == front.knee)
