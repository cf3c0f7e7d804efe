"""Which study the demo shows."""

from pathlib import Path

import pytest
from serving import a_service, a_small_study

from service.demo_run import join_or_submit
from service.errors import ServiceError


def test_the_demo_joins_the_study_of_the_same_document_whoever_submitted_it(tmp_path: Path) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        submitted = client.submit_study(a_small_study())
        with_a_remark = "# tried before\n" + a_small_study()
        assert join_or_submit(client, with_a_remark, fresh=False).id == submitted.id
        assert join_or_submit(client, a_small_study("other"), fresh=False).name == "other"
        assert len(client.studies()) == 2


def test_the_demo_says_what_to_do_when_another_study_has_its_name(tmp_path: Path) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        client.submit_study(a_small_study(trials=3))
        with pytest.raises(ServiceError) as taken:
            join_or_submit(client, a_small_study(trials=4), fresh=False)
        assert "--fresh" in taken.value.hint
        assert join_or_submit(client, a_small_study(trials=4), fresh=True).name == "small-2"
        assert join_or_submit(client, a_small_study("new"), fresh=True).name == "new-2", (
            "new is left to its file"
        )
