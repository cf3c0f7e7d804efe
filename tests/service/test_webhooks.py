"""Webhooks: signed, at least once, in order, and never to a private address unless the owner says so."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command_line import loopfront
from serving import HandDrivenAgent, Running, a_service, a_small_study
from waiting import wait_until

from service import webhook_sender
from service.api.schemas import WebhookGiven
from service.errors import ServiceError
from service.outward import OutwardAddress
from service.store import webhooks
from service.store.studies import ACTIVE, FINISHED, Studies
from service.webhook_sender import WebhookSender

ALL = ["study.finished", "study.failed", "device.quarantined"]


@dataclass
class Receiver:
    """A server that takes webhooks; `statuses` are its next answers, 200 after them."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.got]


@contextmanager
def a_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()


@pytest.fixture
def running(tmp_path: Path, every_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(webhook_sender, "LOOK_S", 0.05)
    with a_service(tmp_path, private_webhooks=True) as running:
        sender = WebhookSender(running.parts)
        sender.start()
        yield running
        sender.stop()


def finish(running: Running, name: str) -> None:
    """Let a study be finished, whatever it measured."""
    with running.parts.database.write() as session:
        study = Studies(session).find(name)
        assert Studies(session).move(study.id, ACTIVE, FINISHED)


def test_who_asked_is_told_with_a_signature_that_holds(running: Running) -> None:
    with a_receiver() as receiver, running.client() as client:
        made = client.add_webhook(WebhookGiven(url=receiver.url, kinds=ALL))
        client.submit_study(a_small_study("small"))
        finish(running, "small")
        agent = HandDrivenAgent(running.url)
        client.quarantine_device("simulated-laptop", "its fan is broken")
        wait_until(lambda: receiver.kinds == ["study.finished", "device.quarantined"])
        agent.close()
        key = base64.b64decode(made.secret.removeprefix("whsec_"))
        for headers, body in receiver.got:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{expected}"
        assert json.loads(receiver.got[0][1])["data"]["study"] == "small"
        assert json.loads(receiver.got[1][1])["data"]["reason"] == "its fan is broken"
        assert client.webhooks()[0].last_answer == "told"


def test_a_receiver_that_stumbles_is_told_again_under_the_same_id_and_in_order(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "FIRST_PAUSE", webhooks.FIRST_PAUSE / 100)
    with a_receiver() as receiver, running.client() as client:
        client.add_webhook(WebhookGiven(url=receiver.url, kinds=["study.finished"]))
        receiver.statuses = [500, 302]
        for name in ("first", "second"):
            client.submit_study(a_small_study(name))
            finish(running, name)
        wait_until(lambda: len(receiver.got) == 4)
        names = [json.loads(body)["data"]["study"] for _, body in receiver.got]
        assert names == ["first", "first", "first", "second"]
        assert len({headers["webhook-id"] for headers, _ in receiver.got[:3]}) == 1


def test_one_that_never_answers_is_given_up_at_last(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "GIVEN_UP_AFTER", 2)
    monkeypatch.setattr(webhooks, "FIRST_PAUSE", webhooks.FIRST_PAUSE / 100)
    with running.client() as client:
        client.add_webhook(WebhookGiven(url="http://127.0.0.1:9/hook", kinds=["study.finished"]))
        client.submit_study(a_small_study("small"))
        finish(running, "small")
        wait_until(lambda: client.webhooks()[0].given_up_at is not None)
        assert client.webhooks()[0].failures == 2


def test_a_webhook_can_be_tried_and_removed(running: Running) -> None:
    with a_receiver() as receiver, running.client() as client:
        made = client.add_webhook(WebhookGiven(url=receiver.url, kinds=["study.failed"]))
        assert client.test_webhook(made.id).told
        assert receiver.kinds == ["test"]
        receiver.statuses = [404]
        tested = client.test_webhook(made.id)
        assert (tested.told, tested.answer) == (False, "it answered 404")
        client.remove_webhook(made.id)
        assert client.webhooks() == []


def test_the_command_adds_tries_lists_and_removes_a_webhook(tmp_path: Path) -> None:
    with a_service(tmp_path, private_webhooks=True) as running, a_receiver() as receiver:
        at = ("--url", running.url)
        made = loopfront("webhook", "add", receiver.url, "--on", "study.finished", *at)
        assert made.stdout.startswith("whsec_")
        webhook_id = made.stderr.split()[-1]
        receiver.statuses = [500]
        assert loopfront("webhook", "test", webhook_id, *at).returncode == 1
        tried = loopfront("webhook", "test", webhook_id, *at)
        assert (tried.returncode, tried.stdout.strip()) == (0, "told")
        listed = json.loads(loopfront("webhook", "list", "--json", *at).stdout)
        assert [(each["id"], each["kinds"]) for each in listed] == [(webhook_id, ["study.finished"])]
        assert receiver.url in loopfront("webhook", "remove", webhook_id, *at).stdout
        gone = loopfront("webhook", "test", webhook_id, *at)
        assert gone.returncode != 0
        assert webhook_id in gone.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/",
        "https://user:secret@93.184.216.34/",
        "ftp://93.184.216.34/",
        "https:///nowhere",
        "nonsense",
    ],
)
def test_a_private_address_is_refused_with_the_way_out(tmp_path: Path, url: str) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        with pytest.raises(ServiceError) as refusal:
            client.add_webhook(WebhookGiven(url=url, kinds=["study.failed"]))
        assert (refusal.value.field, bool(refusal.value.hint)) == ("url", True)
        assert client.webhooks() == []


def test_a_public_number_is_taken() -> None:
    assert OutwardAddress.of("https://93.184.216.34/hook", allows_private=False).ip == "93.184.216.34"
