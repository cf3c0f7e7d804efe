"""A thousand simulated devices: each asks for a job, is busy for a while, and reports numbers that nothing measured."""

import asyncio
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devices.outcome import (
    BlockSamples,
    Measured,
    MemoryReading,
    PhaseSamples,
    ProcessSamples,
    outcome_to_dict,
)
from tests.benchmarks.service.line import Line

WAIT_S = 20.0
_GRANTED = re.compile(rb'{"job_id":"(\w+)","device_id":"\w+","token":(\d+),')


@dataclass
class Load:
    """What became of the requests of one round; seconds each."""

    lease_s: list[float] = field(default_factory=list)
    result_s: list[float] = field(default_factory=list)
    empty: int = 0
    troubles: list[str] = field(default_factory=list)

    def begin_anew(self) -> None:
        """Forget the times so far; troubles stay."""
        self.lease_s.clear()
        self.result_s.clear()


@dataclass(frozen=True)
class SimulatedDevice:
    """A device of one agent."""

    agent_id: str
    device_id: str
    line: Line

    async def serve(self, busy_s: float, until: asyncio.Event, load: Load) -> None:
        """Measure job after job, beginning at a random moment."""
        wish = json.dumps({"device_ids": [self.device_id], "wait_s": WAIT_S}).encode()
        await _sleep(random.random() * busy_s, until)
        while not until.is_set():
            answer = await self.line.post(f"/agents/{self.agent_id}/lease", wish)
            if answer.status == 204:
                load.empty += 1
                continue
            if answer.status != 200:
                load.troubles.append(f"lease: {answer.status} {answer.body[:200]!r}")
                await _sleep(1.0, until)
                continue
            load.lease_s.append(answer.seconds)
            job_id, token = _granted(answer.body)
            await _sleep(busy_s, until)
            if until.is_set():  # else all would report at once
                return
            body = b'{"token": %d, "outcome": %s}' % (token, OUTCOME)
            told = await self.line.post(f"/jobs/{job_id}/result", body)
            if told.status == 200:
                load.result_s.append(told.seconds)
            else:
                load.troubles.append(f"result: {told.status} {told.body[:200]!r}")


def _granted(body: bytes) -> tuple[str, int]:
    """Read what the load needs of a lease: to read its plan as well would cost as much as the service's whole work."""
    found = _GRANTED.match(body)
    assert found is not None, body[:200]
    return found[1].decode(), int(found[2])


async def _sleep(seconds: float, until: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(until.wait(), seconds)
    except TimeoutError:
        return


async def registered(
    ports: Sequence[int], headers: Mapping[str, str], agents: int, devices: int
) -> Sequence[SimulatedDevice]:
    """Register agents with their share of the devices; they spread over the ports as a proxy would spread them."""
    found = []
    for number in range(agents):
        port = ports[number % len(ports)]
        line = Line(port, headers)
        names = [f"simulated-{number}-{each}" for each in range(devices // agents)]
        given = {
            "name": f"simulated-host-{number}",
            "identity": f"simulated-host-{number}",
            "devices": [
                {"identity": name, "name": name, "kind": "simulated", "facts": {"simulated": True}}
                for name in names
            ],
        }
        answer = await line.post("/agents", json.dumps(given).encode())
        assert answer.status == 200, answer.body
        told = answer.json()
        line.close()
        found += [
            SimulatedDevice(told["agent_id"], each["device_id"], Line(port, headers))
            for each in told["devices"]
        ]
    return found


def _phase(processes: int, blocks: int, size: int, candidate_ms: float, sentinel_ms: float) -> PhaseSamples:
    draw = random.Random(1)
    return PhaseSamples(
        tuple(
            ProcessSamples(
                tuple(
                    BlockSamples(
                        tuple(candidate_ms * draw.uniform(0.97, 1.03) for _ in range(size)),
                        tuple(sentinel_ms * draw.uniform(0.97, 1.03) for _ in range(size)),
                        block % 2 == 0,
                    )
                    for block in range(blocks)
                )
            )
            for _ in range(processes)
        )
    )


def _outcome() -> dict[str, Any]:
    """As many samples as a measurement has that became precise at once."""
    memory = MemoryReading(20_000_000, 110_000_000, 120_000_000, 118_000_000, 120_000_000, 60_000_000)
    passport = {"simulated": True}
    prefill, decode = _phase(3, 4, 1, 210.0, 200.0), _phase(6, 18, 4, 5.2, 5.0)
    return outcome_to_dict(Measured(prefill, decode, memory, (1.0,), passport, 10.0))


OUTCOME = json.dumps(_outcome()).encode()
