"""Whole studies over real HTTP; the numbers are simulated, everything else is real."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Running, SimulatedWorker, a_service, a_small_study, as_owner, wait_for_end
from waiting import wait_until

from reports.encoding import measurement_from_dict, report_from_dict
from service.api.schemas import MeasurementWish
from service.client import Client
from service.errors import ServiceError
from service.store.jobs import Jobs
from service.store.measurements import Measurements
from service.store.studies import Studies
from service.store.trials import Trials


def run_study(running: Running, document: str, failing_jobs: frozenset[int] = frozenset()) -> SimulatedWorker:
    with SimulatedWorker(running.url, failing_jobs) as worker, running.client() as client:
        name = client.submit_study(document).name
        assert wait_for_end(client, name) == "finished"
    return worker


def layouts(client: Client, name: str) -> list[str]:
    return [trial.candidate_digest for trial in client.trials(name)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, SimulatedWorker]]:
    """A finished study that tests only read."""
    folder = tmp_path_factory.mktemp("finished")
    with a_service(folder, with_loop=True) as running:
        yield running, run_study(running, a_small_study())


def test_a_study_calibrates_then_runs_references_enqueued_layouts_and_proposals(
    finished: tuple[Running, SimulatedWorker],
) -> None:
    running, worker = finished
    with running.client() as client:
        trials = client.trials("small")
    assert [trial.kind for trial in trials] == ["reference", "enqueued", "trial", "trial", "trial"]
    assert {trial.state for trial in trials} == {"measured"}
    assert len(worker.served) == 6, "one calibration and five candidates"
    assert all(trial.work_seconds > 0 for trial in trials)


def test_the_front_holds_measured_candidates_and_the_reference_point_is_frozen(
    finished: tuple[Running, SimulatedWorker],
) -> None:
    with finished[0].client() as client:
        front = client.front("small")
        detail = client.trial("small", front.trials[0].number)
    assert front.reference_point is not None
    assert front.hypervolume is not None
    assert front.hypervolume > 0
    assert all(trial.kind != "reference" for trial in front.trials)
    assert detail.measurements[0].outcome is not None
    assert detail.measurements[0].outcome["passport"] == {"simulated": True}


def test_the_report_and_the_pages_show_the_study(
    finished: tuple[Running, SimulatedWorker], tmp_path: Path
) -> None:
    with finished[0].client() as client:
        report = report_from_dict(client.report("small"))
        client.save_report_html("small", tmp_path / "report.html")
    assert len(report.trials) == 5
    assert [point.label for point in report.sentinel][:2] == ["calibration", "lfm2-350m"]
    assert "CCACCA" in (tmp_path / "report.html").read_text()
    for path in ("/", "/studies/small", "/studies/small/trials/2", "/static/report.css"):
        assert as_owner("GET", finished[0].url + path).status_code == 200, path


def test_a_study_in_which_none_meets_the_constraints_says_so_everywhere_and_has_no_front(
    tmp_path: Path,
) -> None:
    strict = a_small_study().replace("peak_rss_mb@laptop <= 110", "peak_rss_mb@laptop <= 60")
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        with SimulatedWorker(running.url):
            client.submit_study(strict)
            assert wait_for_end(client, "small") == "finished"
        front, progress = client.front("small"), client.study("small").progress
        page = as_owner("GET", f"{running.url}/studies/small").text
        report = report_from_dict(client.report("small"))
    (closest,) = front.closest
    assert not front.feasible
    assert front.trials == []
    assert progress["front_size"] == 0
    assert f"the closest is #{closest.number}: peak_rss_mb@laptop" in progress["message"]
    assert not any(trial.on_front for trial in report.trials)
    assert "None of them meets the constraints (peak_rss_mb@laptop &lt;= 60), so the front is empty" in page


def test_a_candidate_that_runs_out_of_memory_is_a_failed_trial_and_the_study_goes_on(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        run_study(running, a_small_study(), failing_jobs=frozenset({4}))
        trials = client.trials("small")
        assert [trial.state for trial in trials].count("failed") == 1
        failed = next(trial for trial in trials if trial.state == "failed")
        assert (failed.outcome, failed.detail) == ("out_of_memory", "simulated")
        assert client.study("small").progress["trials_done"] == 4
        assert report_from_dict(client.report("small")).trials[failed.number - 1].log_excerpt == "simulated"


def test_a_study_stopped_in_the_middle_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    with a_service(tmp_path / "whole", with_loop=True) as running, running.client() as client:
        run_study(running, a_small_study(trials=5))
        wanted = layouts(client, "small")
    for stop_after in (1, 4):
        served = _run_in_two_parts(tmp_path / f"stopped-{stop_after}", stop_after, wanted)
        assert len(served) == len(set(served)) == 7, "nothing was measured twice"


def _run_in_two_parts(folder: Path, stop_after: int, wanted: list[str]) -> list[str]:
    with a_service(folder, with_loop=True) as running, running.client() as client:
        client.submit_study(a_small_study(trials=5))
        with SimulatedWorker(running.url) as worker:
            while len(worker.served) < stop_after:
                worker.agent.http.get("/version")
        first = list(worker.served)
    with a_service(folder, with_loop=True) as running, running.client() as client:
        with SimulatedWorker(running.url) as worker:
            assert wait_for_end(client, "small") == "finished"
        assert layouts(client, "small") == wanted
        return first + worker.served


def test_a_second_study_reuses_what_was_measured(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        run_study(running, a_small_study("first"))
        again = run_study(running, a_small_study("second"))
        assert again.served == []
        assert layouts(client, "first") == layouts(client, "second")
        caveats = client.report("second")["caveats"]
        assert any("reuse measurements" in caveat for caveat in caveats)


def test_repeats_are_measured_afresh_and_compared(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        run_study(running, a_small_study())
        with SimulatedWorker(running.url) as worker:
            client.repeat("small", 3)
            assert wait_for_end(client, "small") == "finished"
        assert len(worker.served) == 3
        rows = report_from_dict(client.report("small")).repeatability
        assert {(row.metric, row.kind) for row in rows} == {
            ("ttft_ms_p50@laptop", "raw"),
            ("ttft_ms_p50@laptop", "paired"),
            ("tpot_ms_p50@laptop", "raw"),
            ("tpot_ms_p50@laptop", "paired"),
            ("peak_rss_mb@laptop", "raw"),
        }
        assert all(row.rank_correlation == pytest.approx(1) and row.n == 3 for row in rows)


def test_a_cancelled_study_keeps_what_was_measured(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        with SimulatedWorker(running.url):
            client.submit_study(a_small_study(trials=50))
            wait_until(lambda: any(each.state == "measured" for each in client.trials("small")))
            assert client.cancel_study("small").state == "cancelled"
        assert "measured" in {trial.state for trial in client.trials("small")}
        with pytest.raises(ServiceError) as refusal:
            client.enqueue("small", ["CCCC"])
        assert refusal.value.status == 409


def test_a_study_whose_device_is_never_ready_stops_and_goes_on_when_resumed(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        run_study(running, a_small_study(trials=1))
        client.submit_study(a_small_study("second", trials=2))
        with SimulatedWorker(running.url) as worker:
            wait_for_end(client, "second")
        assert len(worker.served) == 1, "the first candidates are known"
        _fail_by_device(running, client.trials("second")[-1].candidate_digest)
        assert client.resume_study("second").state == "running"
        with SimulatedWorker(running.url) as worker:
            assert wait_for_end(client, "second") == "finished"
        assert len(worker.served) == 1, "only what failed is measured again"
        assert {trial.state for trial in client.trials("second")} == {"measured"}


def _fail_by_device(running: Running, digest: str) -> None:
    """Bring the rows to what three attempts on a busy device leave behind, without their five minutes."""
    with running.parts.database.write() as session:
        study = Studies(session).find("second")
        trial = next(row for row in Trials(session).of_study(study.id) if row.candidate_digest == digest)
        for answer in Trials(session).measurements(trial.id):
            job = Jobs(session).get(answer.job_id or "")
            Measurements(session).get(job.measurement_id or "").cache_key = None
            job.outcome, job.detail = "not_ready", "simulated"
        Trials(session).end(trial.id, "failed", "not_ready", "simulated", {})
        Studies(session).move(study.id, {"finished"}, "failed", "simulated")


def test_layouts_can_be_enqueued_into_a_finished_study(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        run_study(running, a_small_study())
        with SimulatedWorker(running.url):
            assert client.enqueue("small", ["CACACA"]).numbers == [6]
            assert client.enqueue("small", ["CCACCA"]).numbers == [2], "it is there already"
            assert wait_for_end(client, "small") == "finished"
        assert client.trials("small")[5].layout == "CACACA"
        progress = client.study("small").progress
        assert (progress["trials_done"], progress["requested_trials"]) == (5, 5)
        assert client.report("small")["requested_trials"] == 5


def test_one_architecture_can_be_measured_by_itself(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        with SimulatedWorker(running.url):
            wish = MeasurementWish(layout="CCACCA", parameters=6_000_000, vocabulary=8192)
            asked = client.measure(wish)
            while client.measurement(asked.id).state in {"waiting", "running"}:
                pass
        done = client.measurement(asked.id)
        assert done.state == "done", done.detail
        report = measurement_from_dict(done.report or {})
        assert "tpot_ms_p50@simulated-laptop" in report.trial.cells


def test_submitting_twice_with_one_key_is_one_study(tmp_path: Path) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        first = client.submit_study(a_small_study(), "key")
        assert client.submit_study(a_small_study(), "key").id == first.id
        with pytest.raises(ServiceError) as reused:
            client.submit_study(a_small_study("other"), "key")
        assert (reused.value.status, reused.value.code) == (409, "key-reused")
        with pytest.raises(ServiceError) as taken:
            client.submit_study(a_small_study(trials=9))
        assert taken.value.code == "name-taken"
        assert len(client.studies()) == 1


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (a_small_study().replace("trials:", "trails:"), "trails"),
        (a_small_study().replace("[4, 10]", "[4, ten]"), "space.depth[1]"),
        (a_small_study().replace("[0.1, 0.6]", "[0.97, 0.99]"), "space.embedding_ratio"),
        (a_small_study().replace("<= 110", "<= 1"), "constraints"),
        (a_small_study().replace("device: local", "device: pixel-9"), "targets.laptop.device"),
        (json.dumps({"study": "x"}), "trials"),
        ("{", ""),
    ],
)
def test_bad_study_files_are_answered_with_422_and_nothing_is_created(
    tmp_path: Path, content: str, field: str
) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        for attempt in (client.submit_study, client.validate_study):
            with pytest.raises(ServiceError) as refusal:
                attempt(content)
            assert (refusal.value.status, refusal.value.field) == (422, field)
        assert client.studies() == []
