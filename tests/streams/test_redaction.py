"""No credential survives redaction."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams import redact

# Whatever a person may type, blanks and quotes included; but not a second "scheme://".
passwords = (
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=20)
    .filter(lambda text: "://" not in text)
    .map(lambda text: f"SECRET{text}TERCES")
)
names = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
schemes = st.sampled_from(["rtsp", "rtsps", "http", "https", "RTSP", "rtmp+tls"])
keys = st.sampled_from(
    ["password", "pass", "pwd", "token", "auth", "api_key", "key", "secret", "user", "PASSWORD"]
)


@given(schemes, names, passwords, names)
def test_no_password_before_the_host_survives(
    scheme: str, user: str, password: str, path: str
) -> None:
    safe = redact(f"{scheme}://{user}:{password}@camera.local:554/{path}")
    assert safe == f"{scheme}://***@camera.local:554/{path}"


@given(schemes, passwords)
def test_no_user_name_without_a_password_survives(scheme: str, user: str) -> None:
    assert redact(f"{scheme}://{user}@camera.local/") == f"{scheme}://***@camera.local/"


@given(names, passwords, names, names)
def test_no_password_quoted_in_a_message_survives(
    user: str, password: str, before: str, after: str
) -> None:
    message = f"{before} 'rtsp://{user}:{password}@camera.local/x' {after}"
    assert redact(message) == f"{before} 'rtsp://***@camera.local/x' {after}"


@given(keys, st.text(string.ascii_letters + string.digits + "%._~+/@:-", min_size=1, max_size=20))
def test_no_secret_in_a_query_survives(key: str, secret: str) -> None:
    safe = redact(f"http://camera.local/video?fps=5&{key}=SECRET{secret}&quality=9")
    assert "SECRET" not in safe
    assert safe.endswith("&quality=9")


@given(schemes, names, passwords, names)
def test_redacting_twice_changes_nothing_more(
    scheme: str, user: str, password: str, path: str
) -> None:
    once = redact(f"{scheme}://{user}:{password}@camera.local/{path}?token={user}")
    assert redact(once) == once


def test_each_of_two_urls_in_a_message_keeps_its_host() -> None:
    message = "rtsp://u:p@front.local/ and rtsp://u:it's me@rear.local/ are the same camera"
    assert redact(message) == (
        "rtsp://***@front.local/ and rtsp://***@rear.local/ are the same camera"
    )


@pytest.mark.parametrize(
    "harmless",
    [
        "rtsp://camera.local:554/stream1?fps=5",
        "https://example.org/clips/night.mp4",
        "/videos/drive@noon.mp4",
        "rendered:?seed=7",
        "0",
    ],
)
def test_what_holds_no_credential_stays_as_it_is(harmless: str) -> None:
    assert redact(harmless) == harmless
