"""Logging in and out in a real browser, which sends what scripts and clients do not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Running, a_service, a_small_study, owner_of


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path) as running:
        yield running


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context()
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def test_a_token_that_is_pasted_opens_the_page_that_was_asked_for(running: Running, page: Any) -> None:
    with running.client() as client:
        client.submit_study(a_small_study("small"))
    page.goto(f"{running.url}/devices")
    page.get_by_label("Token").fill("not a token")
    page.get_by_role("button", name="Log in").click()
    assert "wrong" in page.get_by_role("alert").inner_text()
    page.get_by_label("Token").fill(owner_of(running.url))
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Devices", exact=True).wait_for()
    assert page.url == f"{running.url}/devices"
    page.goto(running.url)
    page.get_by_role("link", name="small").wait_for()


def test_logging_out_closes_the_pages(running: Running, page: Any) -> None:
    with running.client() as client:
        page.goto(f"{running.url}{client.make_link().path}")
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Token").wait_for()
    page.goto(f"{running.url}/devices")
    assert page.get_by_label("Token").is_visible()
