"""One trial of a study, from its rows to its measurements."""

import threading
from pathlib import Path

from serving import Running, SimulatedWorker, a_service, a_small_study, wait_for_end

from operators.architecture import Architecture, Block, SwiGLU
from operators.mixers.short_conv import ShortConv
from service.known_layouts import NamedArchitecture
from service.store import trials
from service.store.studies import Studies
from service.store.trials import Trials
from service.study_lead import StudyLead, add_known


def an_unbuildable_architecture() -> Architecture:
    """Its FFN is no multiple of any quantisation block."""
    return Architecture(8192, 128, (Block(ShortConv(kernel_size=3), SwiGLU(100)),))


def put_on_the_list(running: Running, study: str, architecture: Architecture) -> None:
    """Make a trial of an architecture that enqueueing would refuse."""
    with running.parts.database.write() as session:
        known = NamedArchitecture("unbuildable", architecture)
        add_known(session, Studies(session).find(study).id, trials.ENQUEUED, known)


def test_a_candidate_that_can_not_be_built_is_one_failed_trial_and_the_study_goes_on(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        client.submit_study(a_small_study(trials=2))
        put_on_the_list(running, "small", an_unbuildable_architecture())
        with SimulatedWorker(running.url):
            assert wait_for_end(client, "small") == "finished"
        found = {trial.label: trial for trial in client.trials("small")}
        assert (found["unbuildable"].state, found["unbuildable"].outcome) == ("failed", "unsupported")
        assert "block size 32" in found["unbuildable"].detail
        assert found["CCACCA"].state == "measured"
        assert client.report("small")["state"] == "finished"


def test_a_trial_of_a_study_that_was_cancelled_in_the_meantime_is_not_launched(tmp_path: Path) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        study = client.submit_study(a_small_study())
        put_on_the_list(running, "small", an_unbuildable_architecture())
        lead = StudyLead(running.parts, study.id, threading.Event())
        client.cancel_study("small")
        with running.parts.database.read() as session:
            trial = Trials(session).numbered(study.id, 1)
        lead.trial_run.launch(trial.id, [])
        assert [each.state for each in client.trials("small")] == ["waiting"]
