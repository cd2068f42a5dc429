"""The page's addresses, asked by real clients over real sockets."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

pytest.importorskip("httpx", reason="asks as a client does")
pytest.importorskip("starlette", reason="needs the 'serve' extra")

import httpx
import numpy as np
import simplejpeg
from websockets.exceptions import InvalidStatus

from live_runs import Camera, SlowDetector, health_of
from media import index_of
from oneglance.models import Detector
from oneglance.perception.health import Health
from oneglance.perception.result import Result
from oneglance.perception.server import app
from oneglance.perception.server.app import MOST_VIEWERS, lost_sources
from oneglance.perception.server.shot import Shot
from oneglance.streams import Frame
from oneglance.streams.errors import Reason
from oneglance.streams.live.states import State
from pages import BEARER, SECRETS, TOKEN, Page, code_at_the_end, next_frame, next_status, page
from scripted_camera import scripted_camera, steady
from waiting import LONG_S, wait_until, within

# -- frames --------------------------------------------------------------------------------


def test_a_frame_and_its_boxes_come_in_one_message(site: Page) -> None:
    with site.watch() as viewer:
        for _ in range(20):
            facts, jpeg = next_frame(viewer)
            image = simplejpeg.decode_jpeg(jpeg, colorspace="BGR")
            assert index_of(image) == facts["frame"] % 25
            assert (facts["width"], facts["height"]) == (64, 48)
            assert {found["task"] for found in facts["detections"]} == {
                "car",
                "pedestrian",
                "sign",
            }
            assert facts["age_ms"] >= 0


def test_every_source_comes_and_none_runs_back(site: Page) -> None:
    frames: dict[str, list[int]] = {"left": [], "right": []}
    with site.watch() as viewer:
        while min(map(len, frames.values())) < 5:
            facts, _ = next_frame(viewer)
            frames[facts["source"]].append(facts["frame"])
    for indices in frames.values():
        assert indices == sorted(set(indices))


def test_a_viewer_that_draws_nothing_gets_two_frames_and_then_only_news_of_the_run(
    site: Page,
) -> None:
    with site.watch() as viewer:
        one, other = (next_frame(viewer, drawn=False)[0] for _ in range(2))
        messages = [viewer.recv(LONG_S) for _ in range(3)]
        assert all(isinstance(message, str) for message in messages)
        viewer.send(json.dumps({"drawn": one["number"]}))
        newest, _ = next_frame(viewer)
        assert newest["number"] > other["number"] + 10


def test_a_viewer_sees_the_sources_it_asks_for(site: Page) -> None:
    with site.watch() as viewer:
        viewer.send(json.dumps({"sources": ["right"]}))
        for _ in range(3):  # those that were on their way
            next_frame(viewer)
        assert {next_frame(viewer)[0]["source"] for _ in range(8)} == {"right"}
        viewer.send(json.dumps({"sources": []}))
        for _ in range(2):
            next_status(viewer)
        viewer.send(json.dumps({"sources": None}))
        wait_until(lambda: next_frame(viewer)[0]["source"] == "left")


def test_no_viewer_costs_nothing(site: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(lambda: site.hub.viewers == 0)
    made: list[str] = []
    real = Shot.jpeg

    def noted(shot: Shot, *, boxes: bool = False) -> bytes:
        made.append(shot.source)
        return real(shot, boxes=boxes)

    monkeypatch.setattr(Shot, "jpeg", noted)
    before = site.pipeline.summary().frames
    wait_until(lambda: site.pipeline.summary().frames > before + 30)
    assert made == []
    with site.watch() as viewer:
        next_frame(viewer)
    assert made


def test_a_snapshot_is_the_newest_image_of_its_source(site: Page) -> None:
    answer = site.get("/snapshot.jpg?source=left&boxes=0")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert simplejpeg.decode_jpeg(answer.content).shape == (48, 64, 3)
    boxed = simplejpeg.decode_jpeg(site.get("/snapshot.jpg?source=left").content)
    assert boxed.std() > simplejpeg.decode_jpeg(answer.content).std()


def test_a_frame_that_cannot_be_converted_costs_itself_alone(detector: Detector) -> None:
    class Unmade:
        size = (64, 48)

        def to_bgr(self) -> np.ndarray:
            raise ValueError("no such planes")

        def yuv(self) -> None:
            return None

        def planes(self) -> tuple[np.ndarray, ...]:
            return ()

    with page(detector, Camera("left"), Camera("right")) as shown, shown.watch() as viewer:
        facts, _ = next_frame(viewer)
        some = shown.hub.newest(facts["source"])
        assert some is not None
        for number in range(5):
            frame = Frame(Unmade(), number, 0.0, "unmade")
            shown.hub.write(Result(frame, some._result.detections, {}, 0.0, 0))
        seen = [next_frame(viewer)[0]["source"] for _ in range(10)]
        assert "unmade" not in seen


def test_a_source_that_is_not_there_is_named_with_those_that_are(site: Page) -> None:
    for path in ("/snapshot.jpg?source=rear", "/snapshot.jpg", "/mjpeg?source=rear"):
        answer = site.get(path)
        assert (answer.status_code, "left, right" in answer.text) == (404, True)


def test_mjpeg_is_what_browsers_and_our_own_reader_play(site: Page) -> None:
    with httpx.stream("GET", f"{site.url}/mjpeg?source=left", trust_env=False) as answer:
        assert answer.headers["content-type"].startswith("multipart/x-mixed-replace")
        content = b""
        for piece in answer.iter_raw():
            content += piece
            if content.count(b"--oneglance-frame") > 5:
                break
    parts = content.split(b"--oneglance-frame\r\n")[1:-1]
    images = [simplejpeg.decode_jpeg(part.split(b"\r\n\r\n", 1)[1][:-2]) for part in parts]
    assert len(images) >= 4
    wait_until(lambda: site.hub.viewers == 0)


def test_who_waits_for_one_source_is_not_woken_by_another(detector: Detector) -> None:
    paused = threading.Event()
    silent = Camera("silent", before=lambda index: index and paused.wait(LONG_S))
    with page(detector, silent, Camera("busy")) as shown:
        try:
            wait_until(lambda: len(shown.hub.sources()) == 2)
            url = f"{shown.url}/events?source=silent"
            with httpx.stream("GET", url, trust_env=False, timeout=LONG_S) as answer:
                lines = answer.iter_lines()
                assert json.loads(next(lines).removeprefix("data: "))["frame"] == 0
                assert next(lines) == ""
                paused.set()
                assert json.loads(next(lines).removeprefix("data: "))["frame"] > 0
        finally:
            paused.set()


def test_detections_come_as_server_sent_events(site: Page) -> None:
    found: list[dict[str, Any]] = []
    with httpx.stream("GET", f"{site.url}/events?source=right", trust_env=False) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
            if len(found) == 5:
                break
    assert {facts["source"] for facts in found} == {"right"}
    numbers = [facts["number"] for facts in found]
    assert numbers == sorted(set(numbers))


# -- slow and many -------------------------------------------------------------------------


def stuck_viewer(site: Page, path: str) -> socket.socket:
    """A client with small buffers that asks and then reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", site.port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())
    return client


def serving_threads() -> int:
    return sum(thread.name == "oneglance-serve" for thread in threading.enumerate())


def test_viewers_that_fetch_nothing_hold_up_neither_the_run_nor_another_viewer(
    site: Page,
) -> None:
    with ExitStack() as stack:
        for _ in range(7):
            stack.enter_context(closing(stuck_viewer(site, "/mjpeg?source=left")))
        viewer = stack.enter_context(site.watch())
        before = site.pipeline.summary().frames
        ages = [next_frame(viewer)[0]["age_ms"] for _ in range(40)]
        assert site.pipeline.summary().frames > before + 30
        assert ages
    wait_until(lambda: site.hub.viewers == 0)


def numbers_of(content: bytes) -> list[int]:
    """What is shown by each whole image of an MJPEG stream: its upper edge is a binary number."""
    found = []
    for head in re.finditer(rb"Content-Length: (\d+)\r\n\r\n", content):
        jpeg = content[head.end() : head.end() + int(head[1])]
        if len(jpeg) == int(head[1]):
            image = simplejpeg.decode_jpeg(jpeg, "GRAY")[:, :, 0]
            found.append(int((1 << np.arange(10)) @ (image[12, 12::24] > 127)))
    return found


@pytest.mark.slow
def test_a_viewer_at_20_kb_a_second_sees_frames_that_are_new(detector: Detector) -> None:
    """What it gets is as old as its line needs for some frames, however long it looks."""

    class Noise(Camera):
        """Images that do not compress, some 40 kB each, with their number in black and white."""

        def __iter__(self) -> Iterator[Any]:
            rng = np.random.default_rng(0)
            for frame in super().__iter__():
                image = rng.integers(0, 256, (240, 240, 3), np.uint8)
                bits = frame.index >> np.arange(10) & 1
                image[:24] = np.repeat(255 * bits, 24)[:, None]
                yield Frame(image, frame.index, frame.timestamp_s, frame.source)

    camera = Noise("front")
    with page(detector, camera) as shown, closing(stuck_viewer(shown, "/mjpeg?boxes=0")) as slow:
        content = slow.recv(2000)
        while camera.produced < 300:
            content += slow.recv(2000)
            assert shown.hub.viewers == 1
            time.sleep(0.1)  # what makes its line slow
        # Some three frames have reached it. The rest is not in a queue that it reads now.
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        newest, seen = camera.produced, numbers_of(content)
        while not seen or seen[-1] < newest:
            content += slow.recv(1 << 16)
            seen = numbers_of(content)
        assert seen == sorted(set(seen))
        assert len(seen) < newest / 3
        before = shown.pipeline.summary().frames
        wait_until(lambda: shown.pipeline.summary().frames > before + 20)


def test_more_viewers_than_may_come_are_asked_to_come_later(
    site: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_VIEWERS >= 8
    monkeypatch.setattr(app, "MOST_VIEWERS", 1)
    wait_until(lambda: site.hub.viewers == 0)
    with site.watch() as viewer:
        next_frame(viewer)
        with pytest.raises(InvalidStatus):
            site.watch().close()
        answer = site.get("/mjpeg?source=left")
        assert answer.status_code == 503


def test_it_closes_within_a_second_with_viewers_attached(detector: Detector) -> None:
    before = serving_threads()
    with ExitStack() as stack, page(detector) as shown:
        for path in ("/mjpeg?source=left", "/events", "/mjpeg?source=right"):
            stack.enter_context(closing(stuck_viewer(shown, path)))
        viewer = stack.enter_context(shown.watch())
        next_frame(viewer)
        wait_until(lambda: shown.hub.viewers == 4)
        with within(1.0):
            shown.server.close()
        assert code_at_the_end(viewer) in {1001, 1012}  # from the run, or from the server
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", shown.port), 1)
    assert serving_threads() == before


# -- figures -------------------------------------------------------------------------------


def test_metrics_and_status_tell_of_the_same_run(site: Page) -> None:
    metrics = site.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'oneglance_frames_delivered_total{source="left"}' in metrics.text
    status = site.get("/api/status").json()
    assert {each["source"] for each in status["health"]["sources"]} == {"left", "right"}
    assert set(status["latency_ms"]) >= {"inference", "age"}
    assert status["may_edit"] is False


def test_a_page_gets_the_status_of_its_sources_once_a_second(site: Page) -> None:
    with site.watch() as viewer:
        reported = [next_status(viewer) for _ in range(2)]
    assert {each["state"] for each in reported[-1]["health"]["sources"]} == {"live"}
    assert reported[-1]["events"][0]["state"] == "live"


def test_health_is_good_while_all_sources_are_live(site: Page, locked: Page) -> None:
    assert site.get("/healthz").json() == {"status": "ok", "stuck": False, "lost": []}
    assert locked.get("/healthz").json() == {"status": "ok"}


def test_health_is_503_while_a_source_is_lost_and_says_so_to_those_who_may_know(
    detector: Detector,
) -> None:
    with scripted_camera(steady) as camera:
        address = camera.url.replace("//", f"//driver:{SECRETS[0]}@") + f"?token={SECRETS[1]}"
        with page(detector, address, Camera("left"), token=TOKEN) as shown:

            def health() -> int:
                return shown.get("/healthz").status_code

            wait_until(lambda: health() == 200)
            camera.unplug()
            wait_until(lambda: health() == 503)
            assert shown.get("/healthz").json() == {"status": "lost"}
            reported = shown.get("/healthz", headers=BEARER)
            assert len(reported.json()["lost"]) == 1
            name = reported.json()["lost"][0]
            gone = shown.get("/snapshot.jpg", params={"source": name}, headers=BEARER)
            assert gone.status_code == 503
            everything = "".join(
                shown.get(path, headers=BEARER).text for path in ("/api/status", "/metrics")
            )
            everything += reported.text + gone.text
            assert not [secret for secret in SECRETS if secret in everything]
            camera.plug_in()
            wait_until(lambda: health() == 200)
            status = shown.get("/api/status", headers=BEARER).json()
            (front,) = (s for s in status["health"]["sources"] if s["source"] == name)
            assert front["reconnects"] == 1
            assert [e for e in status["events"] if e["source"] == name and e["text"]]


def test_a_stuck_network_is_503(detector: Detector) -> None:
    slow = SlowDetector(detector, 0.0)
    with page(slow, Camera("left")) as shown:  # type: ignore[arg-type]
        assert shown.get("/healthz").status_code == 200
        shown.pipeline._watchdog.stuck_s = 0.05
        object.__setattr__(shown.pipeline._limits, "stuck_s", 0.05)
        slow._takes_s = 0.5
        wait_until(lambda: shown.get("/healthz").status_code == 503)
        assert shown.get("/healthz").json()["stuck"] is True


@pytest.mark.parametrize(
    ("state", "reason", "is_lost"),
    [
        (State.LIVE, Reason.PLAYING, False),
        (State.CONNECTING, None, False),
        (State.STALLED, Reason.SILENT, True),
        (State.RECONNECTING, Reason.LOST, True),
        (State.CLOSED, Reason.ENDED, False),
        (State.CLOSED, Reason.CLOSED, False),
        (State.CLOSED, Reason.CODEC, True),
    ],
)
def test_who_is_lost(state: State, reason: Reason | None, is_lost: bool) -> None:
    health = Health(sources=(health_of("front", state=state),), inference_s=None, stuck=False)
    reasons = {} if reason is None else {"front": reason}
    assert lost_sources(health, reasons) == (["front"] if is_lost else [])
