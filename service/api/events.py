"""What happens, as server-sent events: of one study, or of the whole fleet; resumed by `Last-Event-ID`."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api.authorisation import may_still, reads
from service.api.dependencies import ServiceParts
from service.errors import BadInput
from service.event_feed import EventFeed
from service.rights import Right
from service.store.events import EventPlace
from service.store.studies import Studies

router = APIRouter(tags=["events"], dependencies=[reads])
STREAM = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


def _study_id(name: Annotated[str, Path(max_length=100)], parts: ServiceParts) -> str:
    with parts.database.read() as session:
        return Studies(session).find(name).id


def _place(
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="the last one that was seen")
    ] = None,
) -> EventPlace | None:
    try:
        return EventPlace.read(last_event_id) if last_event_id is not None else None
    except ValueError:
        raise BadInput(
            f"{last_event_id!r} is no event of this service",
            field="Last-Event-ID",
            hint="send the `id` of the last event, or leave it out",
        ) from None


def _feed(request: Request) -> EventFeed:
    feed = request.app.state.feed
    assert isinstance(feed, EventFeed)
    return feed


Place = Annotated[EventPlace | None, Depends(_place)]
Feed = Annotated[EventFeed, Depends(_feed)]


@router.get("/studies/{name}/events", response_class=EventSourceResponse, responses=STREAM)  # type: ignore[arg-type]
async def study_events(
    study_id: Annotated[str, Depends(_study_id)], place: Place, feed: Feed, request: Request
) -> AsyncIterator[ServerSentEvent]:
    """Follow a study: its state, and its trials as they begin and end."""
    async for event in _told(request, feed, study_id, place):
        yield event


@router.get("/events", response_class=EventSourceResponse, responses=STREAM)  # type: ignore[arg-type]
async def fleet_events(place: Place, feed: Feed, request: Request) -> AsyncIterator[ServerSentEvent]:
    """Follow everything: studies, trials, devices and the jobs on them."""
    async for event in _told(request, feed, None, place):
        yield event


async def _told(
    request: Request, feed: EventFeed, study_id: str | None, place: EventPlace | None
) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(comment="events of loopfront", retry=2000)
    async for event in feed.watch(study_id, place):
        if not await may_still(request, Right.READ):
            return
        data = {**event.data, "at": event.at.isoformat()}
        yield ServerSentEvent(data=data, event=event.kind, id=str(event.place))
