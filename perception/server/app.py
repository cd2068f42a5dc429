"""The page's addresses, and what each answers.

/               the page: every source live, boxes drawn by the browser
/ws             WebSocket: each message one frame, its JSON and JPEG; once a second the status
/mjpeg          for those who embed: ?source=…&boxes=0
/snapshot.jpg   the newest image: ?source=…&boxes=0
/events         detections as server-sent events, without images: ?source=…
/api/status     what the page shows of sources and latencies
/api/sources    POST {"source": …} adds one, DELETE ?source=… takes one out: the token's holder
/healthz        200, or 503 when a source is lost or the network is stuck
/metrics        for Prometheus
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from oneglance.perception.health import Health
from oneglance.perception.pipeline import Pipeline
from oneglance.perception.server.connections import REQUEST_S
from oneglance.perception.server.conversation import STATUS_S, Conversation
from oneglance.perception.server.guard import AUTHORISED, Access, Guard
from oneglance.perception.server.hub import Hub, HubClosed
from oneglance.perception.server.shot import Shot
from oneglance.streams.errors import OneglanceError, Reason, StreamError
from oneglance.streams.live.states import State
from oneglance.streams.redaction import printable, redact

MOST_VIEWERS = 32
"""Who comes after as many is asked to come later."""

LARGEST_BODY = 4096
"""Bytes of the largest request; what a browser has to say is shorter."""

KEEP_ALIVE_S = 15.0
"""A stream without news says something as often, so that nobody in between gives it up."""

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/static/drawing.js": ("drawing.js", "text/javascript; charset=utf-8"),
    "/static/page.css": ("page.css", "text/css; charset=utf-8"),
    "/static/icon.svg": ("icon.svg", "image/svg+xml"),
}
_EXPECTED_ENDS = frozenset({Reason.CLOSED, Reason.ENDED})
_BOUNDARY = "oneglance-frame"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """What the page is made of. ``pool``: encodes images, off the event loop and one by one, so
    that viewers never take more than one CPU from the network. ``said``: when the status was made
    last and what it was, for who may change sources and who may not."""

    pipeline: Pipeline
    hub: Hub
    registry: CollectorRegistry
    access: Access
    pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="oneglance-page")
    )
    said: dict[bool, tuple[float, str]] = field(default_factory=dict)

    def app(self) -> ASGIApp:
        """The ASGI application, guarded."""
        routes = [
            *(Route(path, _static(name, kind)) for path, (name, kind) in _FILES.items()),
            Route("/healthz", self._healthz),
            Route("/metrics", self._metrics),
            Route("/mjpeg", self._mjpeg),
            Route("/snapshot.jpg", self._snapshot),
            Route("/events", self._events),
            Route("/api/status", self._status),
            Route("/api/sources", self._add, methods=["POST"]),
            Route("/api/sources", self._remove, methods=["DELETE"]),
            WebSocketRoute("/ws", self._watch),
        ]
        return Starlette(routes=routes, middleware=[Middleware(Guard, access=self.access)])

    def status(self, *, may_edit: bool) -> dict[str, Any]:
        """Everything about the run that changes, ready for JSON."""
        summary = self.pipeline.summary()
        latencies = dict(summary.latency_ms)
        if summary.age_ms is not None:
            latencies["age"] = summary.age_ms
        return {
            "type": "status",
            "model": summary.model,
            "engine": summary.engine,
            "precision": summary.precision,
            "fps": summary.fps,
            "frames": summary.frames,
            "latency_ms": {stage: [x.p50, x.p90, x.p99] for stage, x in latencies.items()},
            "health": _printable(self.pipeline.health().as_dict()),
            "reasons": {printable(name): str(why) for name, why in self.hub.reasons().items()},
            "events": self.hub.events()[-30:],
            "viewers": self.hub.viewers,
            "may_edit": may_edit,
        }

    # -- streams ---------------------------------------------------------------------------

    async def _watch(self, websocket: WebSocket) -> None:
        if self.hub.viewers >= MOST_VIEWERS:
            await websocket.close(1013)
            return
        await websocket.accept()
        may_edit = bool(websocket.scope.get(AUTHORISED))
        with self.hub.viewer() as viewer:
            await Conversation(
                websocket,
                viewer,
                clock=self.hub.clock,
                encode=self._message,
                status=lambda: self._status_text(may_edit=may_edit),
            ).run()

    async def _mjpeg(self, request: Request) -> Response:
        source, boxes = self._source(request), _wants_boxes(request)
        self._room()

        async def parts() -> AsyncIterator[bytes]:
            async for shot in self._shots(source):
                if shot and (jpeg := await self._jpeg(shot, boxes=boxes)):
                    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                    head += f"Content-Length: {len(jpeg)}\r\n\r\n"
                    yield head.encode() + jpeg + b"\r\n"

        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return StreamingResponse(parts(), media_type=kind)

    async def _events(self, request: Request) -> Response:
        source = self._source(request) if "source" in request.query_params else None
        self._room()

        async def lines() -> AsyncIterator[str]:
            async for shot in self._shots(source):
                if shot is None:
                    yield ": still here\n\n"
                else:
                    yield f"data: {shot.text(self.hub.clock())}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    async def _shots(self, source: str | None) -> AsyncIterator[Shot | None]:
        """Frames as they come and go, as far as whoever asks keeps up; None: still nothing."""
        with self.hub.viewer(None if source is None else {source}) as viewer:
            try:
                while True:
                    yield await viewer.next(KEEP_ALIVE_S)
            except HubClosed:
                return

    async def _snapshot(self, request: Request) -> Response:
        source = self._source(request)
        shot = self.hub.newest(source)
        states = {each.source: each.state for each in self.pipeline.health().sources}
        state = states.get(source, State.CLOSED)
        if shot is None or state is not State.LIVE:
            raise HTTPException(503, f"no new image of {printable(source)}: it is {state}")
        jpeg = await self._jpeg(shot, boxes=_wants_boxes(request))
        if jpeg is None:
            what = f"no image of {printable(source)}"
            raise HTTPException(503, f"{what}: its last frame cannot be converted")
        return Response(jpeg, media_type="image/jpeg")

    # -- figures ---------------------------------------------------------------------------

    async def _status(self, request: Request) -> Response:
        may_edit = bool(request.scope.get(AUTHORISED))
        return JSONResponse(await self._in_pool(lambda: self.status(may_edit=may_edit)))

    async def _healthz(self, request: Request) -> Response:
        health = self.pipeline.health()
        lost = lost_sources(health, self.hub.reasons())
        content: dict[str, Any] = {"status": "lost" if lost or health.stuck else "ok"}
        if self.access.token is None or request.scope.get(AUTHORISED):
            content |= {"stuck": health.stuck, "lost": _printable(lost)}
        return JSONResponse(content, 503 if lost or health.stuck else 200)

    async def _metrics(self, request: Request) -> Response:
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        content = await self._in_pool(lambda: encode(self.registry))
        return Response(content, headers={"content-type": kind})

    # -- changes ---------------------------------------------------------------------------

    async def _add(self, request: Request) -> Response:
        self._may_edit(request)
        source = _asked_source(await _body(request))
        try:
            name = await asyncio.to_thread(self.pipeline.add, source)
        except OneglanceError as error:
            raise HTTPException(400, printable(redact(str(error)))) from None
        return JSONResponse({"source": printable(name)}, 201)

    async def _remove(self, request: Request) -> Response:
        self._may_edit(request)
        try:
            asked = request.query_params.get("source", "")
            name = self._known().get(asked, asked)
            await asyncio.to_thread(self.pipeline.remove, name)
        except OneglanceError as error:
            raise HTTPException(400, printable(redact(str(error)))) from None
        return Response(status_code=204)

    def _may_edit(self, request: Request) -> None:
        if not request.scope.get(AUTHORISED):
            raise HTTPException(403, "sources are changed with the token only: see --token")

    # -- helpers ---------------------------------------------------------------------------

    def _source(self, request: Request) -> str:
        """The source asked for, or the only one."""
        known = self._known()
        asked = request.query_params.get("source")
        if asked is None and len(known) == 1:
            return next(iter(known.values()))
        if asked not in known:
            names = ", ".join(known) or "none yet"
            raise HTTPException(404, f"?source= is to name a source (sources: {names})")
        return known[asked]

    def _known(self) -> dict[str, str]:
        """The sources by what they are called on the page."""
        return {printable(each.source): each.source for each in self.pipeline.health().sources}

    def _room(self) -> None:
        if self.hub.viewers >= MOST_VIEWERS:
            raise HTTPException(503, f"{MOST_VIEWERS} look already: come again later")

    async def _jpeg(self, shot: Shot, *, boxes: bool) -> bytes | None:
        return await self._encoded(lambda: shot.jpeg(boxes=boxes))

    async def _message(self, shot: Shot) -> bytes | None:
        """A frame for the page; however many ask at once, it is encoded by one of them."""
        if not shot.is_encoded:
            if shot.encoding is None:
                loop = asyncio.get_running_loop()
                shot.encoding = loop.run_in_executor(self.pool, self._counted(shot.encode))
            try:
                await asyncio.shield(shot.encoding)  # who leaves takes nothing from the others
            except StreamError:  # which the run itself hears of, where it looks at the image
                return None
        return shot.message(self.hub.clock())

    async def _status_text(self, *, may_edit: bool) -> str:
        """``status`` as JSON, made once for all who ask within half a period."""
        made = self.said.get(may_edit)
        if made is None or self.hub.clock() - made[0] > STATUS_S / 2:
            text = await self._in_pool(
                lambda: json.dumps(self.status(may_edit=may_edit), allow_nan=False)
            )
            made = self.said[may_edit] = self.hub.clock(), text
        return made[1]

    async def _encoded(self, work: Callable[[], bytes]) -> bytes | None:
        """What ``work`` encodes; None where the frame cannot be made into an image."""
        try:
            return await self._in_pool(work)
        except StreamError:  # which the run itself hears of, where it looks at the image
            return None

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._counted(work))

    def _counted(self, work: Callable[[], T]) -> Callable[[], T]:
        """``work``, whose CPU time the hub hears of."""

        def counted() -> T:
            begun_s = self.hub.cpu_clock()
            try:
                return work()
            finally:
                self.hub.took(self.hub.cpu_clock() - begun_s)

        return counted


def lost_sources(health: Health, reasons: Mapping[str, Reason]) -> list[str]:
    """The sources that give no frames though they should; one that is only being connected to for
    the first time is not lost yet, one that ended or was taken out is not missed."""
    return [
        each.source
        for each in health.sources
        if each.state in {State.STALLED, State.RECONNECTING}
        or (
            each.state is State.CLOSED
            and reasons.get(each.source, Reason.CLOSED) not in _EXPECTED_ENDS
        )
    ]


def _static(name: str, kind: str) -> Callable[[Request], Any]:
    content = (resources.files("oneglance.perception.server") / "static" / name).read_bytes()

    async def answer(request: Request) -> Response:
        del request
        return Response(content, headers={"content-type": kind})

    return answer


def _wants_boxes(request: Request) -> bool:
    return request.query_params.get("boxes", "1") != "0"


async def _body(request: Request) -> bytes:
    content = b""
    try:
        async with asyncio.timeout(REQUEST_S):
            async for piece in request.stream():
                content += piece
                if len(content) > LARGEST_BODY:
                    raise HTTPException(413, f"a request has {LARGEST_BODY} bytes at most")
    except TimeoutError:
        raise HTTPException(408, f"a request is to be here within {REQUEST_S:g} s") from None
    return content


def _asked_source(body: bytes) -> str:
    try:
        source = json.loads(body)["source"]
    except (ValueError, TypeError, KeyError, RecursionError):
        source = None
    if not isinstance(source, str) or not source.strip() or not source.isprintable():
        raise HTTPException(400, 'the request is to be {"source": "rtsp://…"}')
    return source.strip()


def _printable(value: Any) -> Any:
    """``value``, ready for JSON, with texts that every encoding of Unicode holds."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {key: _printable(item) for key, item in value.items()}
        case list() | tuple():
            return [_printable(item) for item in value]
    return value
