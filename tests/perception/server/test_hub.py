"""The newest frame for whoever looks, and nothing for nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

pytest.importorskip("starlette", reason="needs the 'serve' extra")

from media import make_video, photograph
from oneglance.perception.mode import Alert
from oneglance.perception.result import Result
from oneglance.perception.server.hub import EVENTS, MOST_CLOSED, Hub, HubClosed, Viewer
from oneglance.perception.server.shot import LARGEST_WIDTH, Shot
from oneglance.streams import Frame, open_stream
from oneglance.streams.decoding.planes import DecodedImage
from oneglance.streams.errors import Reason
from oneglance.streams.live.states import Event, State

ResultMaker = Callable[..., Result]


def event(source: str, after: State, reason: Reason, detail: str = "") -> Event:
    return Event(source, State.CONNECTING, after, reason, 0.0, detail)


def numbers(hub: Hub, results: list[Result], *, wanted: set[str] | None = None) -> list[int]:
    """The frames' indices that a viewer gets who looks after all results were written."""

    async def look() -> list[int]:
        with hub.viewer(wanted) as viewer:
            for result in results:
                hub.write(result)
            seen = []
            while (shot := await viewer.next(0)) is not None:
                seen.append(shot.facts(0.0)["frame"])
            return seen

    return asyncio.run(look())


def test_a_viewer_gets_the_newest_frame_and_no_queue(result: ResultMaker) -> None:
    assert numbers(Hub(), [result(index=index) for index in range(100)]) == [99]


def test_a_viewer_gets_no_more_frames_a_second_than_it_may(result: ResultMaker) -> None:
    """Counted on the event loop's own clock: a busy machine makes it fewer, never more."""

    async def look() -> tuple[int, float]:
        hub = Hub(most_fps=50)
        loop = asyncio.get_running_loop()
        with hub.viewer() as viewer:
            began_s, count = loop.time(), 0
            while loop.time() < began_s + 0.5:
                hub.write(result(index=count))
                count += await viewer.next(0.001) is not None
            return count, loop.time() - began_s

    count, took_s = asyncio.run(look())
    assert 2 <= count <= took_s * 50 + 2


def test_a_frame_that_comes_too_soon_is_given_when_it_is_time(result: ResultMaker) -> None:
    async def look() -> list[int]:
        hub, seen = Hub(most_fps=20), []
        with hub.viewer() as viewer:
            for index in range(3):
                hub.write(result(index=index))
                shot = await viewer.next(60)
                assert shot is not None
                seen.append(shot.facts(0.0)["frame"])
        return seen

    assert asyncio.run(look()) == [0, 1, 2]


@pytest.mark.parametrize(("step", "shown"), [(1, 20), (2, 10)])
def test_of_a_source_too_fast_for_the_network_half_as_much_is_shown(
    result: ResultMaker, step: int, shown: int
) -> None:
    now_s = 0.0
    hub, seen = Hub(most_fps=20, clock=lambda: now_s, cpu_clock=lambda: 0.0), {0}

    async def look() -> None:
        nonlocal now_s
        with hub.viewer() as viewer:
            for index in range(100):
                now_s = index / 50
                hub.write(result(index=step * index))
                viewer.seen = {"drive": max(seen)}
                shots, _ = hub.unseen(viewer)
                seen.update(shot.number for shot in shots)

    asyncio.run(look())
    assert len(seen) - 1 == pytest.approx(2 * shown, abs=1)


@pytest.mark.parametrize(
    ("step", "took_ms", "shown"), [(1, 100, 20), (2, 1, 9), (2, 5, 4), (2, 100, 2)]
)
def test_who_looks_takes_a_share_of_the_cpus_from_a_network_that_cannot_keep_up(
    result: ResultMaker, monkeypatch: pytest.MonkeyPatch, step: int, took_ms: float, shown: int
) -> None:
    """Two CPUs: a hundredth is 20 ms a second; a frame costs that, half here and half there."""
    monkeypatch.setattr("oneglance.perception.server.hub.available_cpus", lambda: 2)
    now_s = cpu_s = 0.0
    hub = Hub(most_fps=20, clock=lambda: now_s, cpu_clock=lambda: cpu_s)
    seen: list[float] = []

    async def look() -> None:
        nonlocal now_s, cpu_s
        with hub.viewer() as viewer:
            for index in range(1000):
                now_s = index / 50
                hub.write(result(index=step * index))
                shots, _ = hub.unseen(viewer)
                for shot in shots:
                    viewer.seen[shot.source] = shot.number
                    seen.append(now_s)
                    cpu_s += took_ms / 2e3
                    hub.took(took_ms / 2e3)

    asyncio.run(look())
    assert len([at for at in seen if at >= 10]) / 10 == pytest.approx(shown, abs=1)


def test_who_cannot_be_shown_more_yet_is_not_woken_by_what_comes(result: ResultMaker) -> None:
    class Counting(Hub):
        looks = 0

        def unseen(self, viewer: Viewer) -> tuple[list[Shot], float | None]:
            self.looks += 1
            return super().unseen(viewer)

    async def look() -> int:
        hub = Counting(most_fps=2)
        with hub.viewer() as viewer:
            hub.write(result(index=0))
            await viewer.next(60)
            waits = asyncio.create_task(viewer.next(60))
            for index in range(1, 20):
                hub.write(result(index=index))
                await asyncio.sleep(0.002)  # a source faster than what is shown
            shot = await waits
        assert shot is not None
        assert shot.facts(0.0)["frame"] == 19
        return hub.looks

    assert asyncio.run(look()) == 3


def test_sources_take_turns(result: ResultMaker) -> None:
    results = [result(index=i, source=s) for i, s in enumerate(["a", "b", "a", "c"])]
    assert sorted(numbers(Hub(), results)) == [1, 2, 3]
    assert numbers(Hub(), results, wanted={"b"}) == [1]
    assert numbers(Hub(), results, wanted=set()) == []


def test_a_viewer_that_waits_hears_of_a_frame_from_another_thread(result: ResultMaker) -> None:
    hub = Hub()

    async def look() -> Shot | None:
        with hub.viewer() as viewer:
            threading.Timer(0.05, hub.write, [result(index=7)]).start()
            return await viewer.next(60)

    shot = asyncio.run(look())
    assert shot is not None
    assert shot.facts(0.0)["frame"] == 7


def test_the_end_of_the_run_sends_viewers_away(result: ResultMaker) -> None:
    hub = Hub()
    hub.write(result())

    async def look() -> None:
        with hub.viewer() as viewer:
            await viewer.next(60)
            threading.Timer(0.05, hub.close).start()
            with pytest.raises(HubClosed):
                await viewer.next(60)
            with pytest.raises(HubClosed):
                await viewer.rest(60)

    asyncio.run(look())
    assert hub.viewers == 0


def test_nobody_looks_and_no_image_is_made(result: ResultMaker) -> None:
    class Untouched:
        size = (64, 48)

        def to_bgr(self) -> np.ndarray:
            raise AssertionError("an image was made for nobody")

        def yuv(self) -> None:
            raise AssertionError("an image was looked at for nobody")

        def planes(self) -> tuple[np.ndarray, ...]:
            raise AssertionError("an image was looked at for nobody")

    hub = Hub()
    plain = result()
    frame = Frame(Untouched(), 0, 0.0, "front")
    for _ in range(10):
        hub.write(Result(frame, plain.detections, {}, None, 0))
    assert hub.newest("front") is not None


def test_an_image_is_encoded_once_for_all_who_look(
    result: ResultMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    real = simplejpeg.encode_jpeg

    def counted(*words: object, **how: object) -> bytes:
        made.append(1)
        jpeg: bytes = real(*words, **how)
        return jpeg

    monkeypatch.setattr(simplejpeg, "encode_jpeg", counted)
    shot = Shot(result(), 1, 0.0)
    threads = [threading.Thread(target=shot.message, args=(0.0,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_large_image_is_sent_smaller_and_its_boxes_stay_in_its_own_pixels(
    result: ResultMaker,
) -> None:
    image = np.zeros((1000, 2560, 3), np.uint8)
    shot = Shot(result(image=image, found=[("car", 0.9, (10, 20, 2500, 990), 1)]), 1, 0.0)
    message = shot.message(0.0)
    length = int.from_bytes(message[:4], "big")
    height, width, _, _ = simplejpeg.decode_jpeg_header(message[4 + length :])
    assert (width, height) == (LARGEST_WIDTH, 500)
    facts = shot.facts(0.0)
    assert (facts["width"], facts["height"]) == (2560, 1000)
    assert facts["detections"][0]["xyxy"] == [10, 20, 2500, 990]


def test_of_a_large_frame_only_what_is_shown_is_converted(
    result: ResultMaker, tmp_path: Path, conversions: list[DecodedImage]
) -> None:
    """Against the whole image, made first: the same but for how it is made smaller."""
    size = (1920, 1080)
    smooth = np.asarray(cv2.resize(photograph(0), size), np.uint8)
    file = make_video(tmp_path / "a.mp4", images=[smooth], size=size)
    frame, again = (next(iter(open_stream(file))) for _ in range(2))
    assert frame.yuv() is not None
    shown = simplejpeg.decode_jpeg(Shot(_of(result, frame), 1, 0.0).jpeg(), colorspace="BGR")
    assert not conversions
    assert again.image.shape == (1080, 1920, 3)
    whole = simplejpeg.decode_jpeg(Shot(_of(result, again), 1, 0.0).jpeg(), colorspace="BGR")
    assert shown.shape == whole.shape == (720, LARGEST_WIDTH, 3)
    assert np.abs(shown.astype(int) - whole).mean() < 2


def _of(result: ResultMaker, frame: Frame) -> Result:
    return Result(frame, result().detections, {}, None, 0)


def test_boxes_are_drawn_where_that_is_asked_for(result: ResultMaker) -> None:
    shot = Shot(result(found=[("car", 0.9, (5, 5, 60, 40), 1)]), 1, 0.0)
    plain, boxed = (simplejpeg.decode_jpeg(shot.jpeg(boxes=boxes)) for boxes in (False, True))
    assert plain.std() < 2
    assert boxed.std() > 10


def test_age_goes_on_while_a_frame_waits_for_its_viewer(result: ResultMaker) -> None:
    shot = Shot(result(age_s=0.1), 1, time_s=5.0)
    assert shot.facts(5.25)["age_ms"] == pytest.approx(350)
    for now_s, age_ms in ((5.25, b"350.0"), (5.5, b"600.0")):  # the rest is made once
        assert b'{"age_ms":' + age_ms in shot.message(now_s)
    assert b'{"age_ms":null' in Shot(result(), 1, 0.0).message(1.0)


def test_what_is_not_finite_does_not_break_the_message(result: ResultMaker) -> None:
    bad = result(found=[("car", float("nan"), (0, 0, 1, 1), 1)])
    assert '"confidence":null' in Shot(bad, 1, 0.0).text(0.0)
    assert b"NaN" not in Shot(bad, 1, 0.0).message(0.0)


def test_a_source_that_was_taken_out_leaves_no_image_behind(result: ResultMaker) -> None:
    hub = Hub()
    hub.write(result(source="front"))
    hub.note(event("front", State.CLOSED, Reason.CLOSED))
    hub.write(result(source="front"))  # was on its way
    assert hub.sources() == ()
    hub.note(event("front", State.LIVE, Reason.PLAYING))
    hub.write(result(source="front"))
    assert hub.sources() == ("front",)


def test_what_a_camera_showed_before_it_was_lost_is_shown_to_nobody_who_comes_later(
    result: ResultMaker,
) -> None:
    hub = Hub()
    hub.write(result(source="front"))
    hub.note(event("front", State.STALLED, Reason.SILENT))
    assert hub.newest("front") is None


def test_a_day_of_sources_that_come_and_go_takes_no_more_room(result: ResultMaker) -> None:
    hub = Hub()
    for _ in range(5000):
        for name in ("left", "right"):
            hub.note(event(name, State.LIVE, Reason.PLAYING))
            hub.write(result(source=name))
            hub.note(event(name, State.RECONNECTING, Reason.LOST))
            hub.note(Alert(name, "half of its frames are dropped", 0.0))
            hub.note(event(name, State.CLOSED, Reason.CLOSED))
    assert len(hub.events()) == EVENTS
    assert hub.sources() == ()
    assert len(hub.reasons()) == 2


def test_a_day_of_sources_with_new_names_takes_no_more_room(result: ResultMaker) -> None:
    hub = Hub()

    async def look() -> int:
        with hub.viewer() as viewer:
            for number in range(1000):
                hub.note(event(f"camera {number}", State.LIVE, Reason.PLAYING))
                hub.write(result(source=f"camera {number}"))
                await viewer.next(0)
                hub.note(event(f"camera {number}", State.CLOSED, Reason.CLOSED))
            return len(viewer.seen)

    assert asyncio.run(look()) <= 2 * MOST_CLOSED
    assert hub.sources() == ()
    assert list(hub.reasons())[-1] == "camera 999"
    assert len(hub.reasons()) == MOST_CLOSED


def test_what_is_reported_of_a_source_holds_no_credential() -> None:
    hub = Hub()
    address = "rtsp://driver:p@ss/w0rd@camera.local/live?token=abc"
    hub.note(event(address, State.RECONNECTING, Reason.AUTH, f"{address}: refused"))
    hub.note(Alert(address, f"{address} is late", 0.0))
    reported = str(hub.events())
    assert "w0rd" not in reported
    assert "abc" not in reported
    assert "camera.local" in reported
