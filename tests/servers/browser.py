"""A real browser without a screen: Debian's Chromium, driven through its own driver."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="drives a browser")

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--no-proxy-server"),
)
DESKTOP, PHONE = (1280, 1000), (390, 844)


def chromium() -> tuple[str, str]:
    """The browser and its driver; skips the test where there is none."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if found[0] is None or found[1] is None:
        pytest.skip("needs chromium and chromium-driver; tests/check.py installs them on Debian")
    return found[0], found[1]


@contextmanager
def browser(
    profile: Path, *, size: tuple[int, int] = DESKTOP, dark: bool = False
) -> Iterator[webdriver.Chrome]:
    """A browser with an empty ``profile``, its window ``size`` pixels."""
    binary, driver = chromium()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    try:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        wish = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wish]})
        yield opened
    finally:
        opened.quit()


def messages(opened: webdriver.Chrome) -> list[str]:
    """What the browser had to say: errors of scripts, what the page's policy forbids."""
    said = [entry["message"] for entry in opened.get_log("browser")]
    return [text for text in said if "willReadFrequently" not in text]  # it is tests that read
