"""The page as a person sees it: in a real browser, with real frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the 'serve' extra")
pytest.importorskip("httpx", reason="asks as a client does")
pytest.importorskip("selenium", reason="drives a browser")

from browser import PHONE, browser, messages
from live_runs import Camera
from oneglance.models import Detector
from pages import TOKEN, Page, page
from scripted_camera import ScriptedCamera, scripted_camera, steady
from waiting import LONG_S, wait_until

GREY = """
const card = document.querySelector(arguments[0]);
const canvas = card.querySelector(".image");
const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
let sum = 0;
for (let i = 0; i < data.length; i += 4) sum += data[i];
return [Number(card.dataset.frame), sum / (data.length / 4)];
"""
COUNT = """
const canvas = document.querySelector(".source .image");
const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
const near = (i, rgb) => rgb.every((value, k) => Math.abs(data[i + k] - value) < 12);
let count = 0;
for (let i = 0; i < data.length; i += 4) count += near(i, arguments[0]);
return count;
"""


@pytest.fixture(scope="module")
def site(detector: Detector) -> Iterator[Page]:
    with page(detector) as shown:
        yield shown


@pytest.fixture(scope="module")
def seen(site: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser on the page, both cameras live."""
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.get(site.url)
        wait_until(lambda: len(sources(opened)) == 2)
        yield opened


def script(opened: Any, text: str, *words: object) -> Any:
    return opened.execute_script(text, *words)


def sources(opened: Any) -> dict[str, dict[str, str]]:
    """Of each source's card: what it says, by name."""
    return {
        name: dict(facts)
        for name, facts in script(
            opened,
            """
return [...document.querySelectorAll(".source")].map((card) => [card.dataset.source, {
  ...card.dataset,
  ...Object.fromEntries(["state", "away", "fps", "age", "dropped", "problem", "reconnects"]
    .map((kind) => [kind, card.querySelector(`.${kind}`).textContent])),
}]);""",
        )
    }


def click_task(opened: Any, task: str) -> None:
    script(opened, "document.querySelector(`input[value=${arguments[0]}]`).click()", task)


def set_confidence(opened: Any, value: float) -> None:
    script(
        opened,
        """const slider = document.getElementById("confidence");
slider.value = arguments[0]; slider.dispatchEvent(new Event("input"));""",
        value,
    )


def test_every_source_is_live_with_its_figures(seen: Any) -> None:
    wait_until(lambda: {each["state"] for each in sources(seen).values()} == {"live"})
    wait_until(lambda: all(float(each["fps"]) > 0 for each in sources(seen).values()))
    for each in sources(seen).values():
        assert each["away"] == ""
        assert each["age"].endswith(" ms")
    rows = script(seen, "return document.querySelectorAll('#latency tbody tr').length")
    assert rows >= 5
    assert script(seen, "return document.querySelectorAll('#events li').length") >= 2


def test_frames_go_on(seen: Any) -> None:
    before = {name: int(each["frame"]) for name, each in sources(seen).items()}
    wait_until(
        lambda: all(int(each["frame"]) > before[name] + 20 for name, each in sources(seen).items())
    )


def test_the_browser_draws_the_boxes_and_filters_them(seen: Any) -> None:
    car, sign = [111, 208, 255], [255, 230, 0]
    wait_until(lambda: script(seen, COUNT, car) > 5)
    assert script(seen, COUNT, sign) > 5
    click_task(seen, "car")
    wait_until(lambda: script(seen, COUNT, car) == 0)
    wait_until(lambda: {each["boxes"] for each in sources(seen).values()} == {"2"})
    assert script(seen, COUNT, sign) > 5
    click_task(seen, "car")
    set_confidence(seen, 1)
    wait_until(lambda: {each["boxes"] for each in sources(seen).values()} == {"0"})
    set_confidence(seen, 0.25)
    wait_until(lambda: {each["boxes"] for each in sources(seen).values()} == {"3"})


def test_the_image_is_that_of_the_frame_whose_boxes_are_drawn(seen: Any) -> None:
    set_confidence(seen, 1)  # nothing over the image, whose grey says which frame it is
    wait_until(lambda: {each["boxes"] for each in sources(seen).values()} == {"0"})
    frames: set[int] = set()
    while len(frames) < 12:
        frame, grey = script(seen, GREY, "[data-source=left]")
        assert round((grey - 30) / 8) == frame % 25
        frames.add(frame)
    set_confidence(seen, 0.25)


def test_without_the_token_the_page_offers_no_changes(seen: Any) -> None:
    assert script(seen, "return document.getElementById('add').hidden")
    assert script(seen, "return [...document.querySelectorAll('.remove')].every((b) => b.hidden)")


def test_a_page_in_the_background_asks_for_no_frames(seen: Any, site: Page) -> None:
    script(
        seen,
        """Object.defineProperty(document, "hidden", { value: true, configurable: true });
document.dispatchEvent(new Event("visibilitychange"));""",
    )
    (viewer,) = site.hub._viewers
    wait_until(lambda: viewer.wanted == frozenset())
    script(seen, "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'));")
    wait_until(lambda: viewer.wanted is None)


def test_the_browser_has_nothing_to_complain_of(seen: Any) -> None:
    assert messages(seen) == []


def test_nothing_runs_that_somebody_slips_into_the_page(seen: Any) -> None:
    script(
        seen,
        """const inline = document.createElement("script");
inline.textContent = "window.slipped = true";
document.body.append(inline);""",
    )
    assert script(seen, "return window.slipped === undefined")
    assert any("Content Security Policy" in text for text in messages(seen))


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_by_day_and_by_night(site: Page, tmp_path: Path, dark: bool) -> None:
    with browser(tmp_path, size=PHONE, dark=dark) as opened:
        opened.get(site.url)
        wait_until(lambda: len(sources(opened)) == 2)
        wait_until(lambda: all("frame" in each for each in sources(opened).values()))
        wide, shown = script(
            opened, "return [document.documentElement.scrollWidth, window.innerWidth]"
        )
        assert wide <= shown == PHONE[0]
        ground = script(opened, "return getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(",")))
        assert (brightness < 150) == dark
        assert messages(opened) == []


def test_a_lost_source_says_so_over_its_last_image_and_comes_back(
    detector: Detector, tmp_path: Path
) -> None:
    def away() -> str:
        return next(iter(sources(opened).values()))["away"]

    with (
        scripted_camera(steady) as camera,
        page(detector, camera.url) as shown,
        browser(tmp_path) as opened,
    ):
        opened.get(shown.url)
        wait_until(lambda: sources(opened) and away() == "")
        camera.unplug()
        wait_until(lambda: "reconnecting" in away() and "refused" in away())
        assert next(iter(sources(opened).values()))["problem"]
        camera.plug_in()
        wait_until(lambda: away() == "")
        wait_until(lambda: next(iter(sources(opened).values()))["reconnects"] == "1")


def test_the_tokens_holder_adds_and_removes_a_source_on_the_page(
    detector: Detector, tmp_path: Path
) -> None:
    def add(camera: ScriptedCamera) -> None:
        field = opened.find_element("id", "address")
        field.send_keys(camera.url.replace("//", "//driver:hunter2@"))
        opened.find_element("css selector", "#add button").click()

    with (
        scripted_camera(steady) as camera,
        page(detector, Camera("left"), token=TOKEN) as shown,
        browser(tmp_path) as opened,
    ):
        opened.get(f"{shown.url}/?token={TOKEN}")
        assert TOKEN not in opened.current_url
        wait_until(lambda: opened.find_element("id", "add").is_displayed())
        add(camera)
        wait_until(lambda: len(sources(opened)) == 2)
        assert "hunter2" not in opened.page_source
        wait_until(lambda: all("frame" in each for each in sources(opened).values()))
        add(camera)  # once more: another of the same name gets a number
        wait_until(lambda: len(sources(opened)) == 3)
        opened.find_element("css selector", "[data-source=left] .remove").click()
        wait_until(lambda: "left" not in sources(opened))
        opened.find_element("id", "address").send_keys("nosuch://place")
        opened.find_element("css selector", "#add button").click()
        wait_until(lambda: "nosuch" in opened.find_element("id", "add-error").text)


def test_the_page_says_that_the_run_is_over(detector: Detector, tmp_path: Path) -> None:
    with browser(tmp_path) as opened:
        with page(detector, Camera("left")) as shown:
            opened.get(shown.url)
            wait_until(lambda: "left" in sources(opened))
        said = opened.find_element("id", "connection")
        wait_until(lambda: said.text in {"the run is over", "connection lost"}, within_s=LONG_S)
        wait_until(lambda: sources(opened)["left"]["away"] != "")
