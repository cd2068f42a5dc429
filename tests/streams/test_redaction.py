"""No credential survives redaction."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams import redact
from oneglance.streams.redaction import redact_address
from secret_spellings import spellings

# Whatever a person may type, blanks and quotes included; but not a second "scheme://".
passwords = (
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=20)
    .filter(lambda text: "://" not in text)
    .map(lambda text: f"SECRET{text}TERCES")
)
names = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
schemes = st.sampled_from(["rtsp", "rtsps", "http", "https", "RTSP", "rtmp+tls"])
keys = st.text(string.ascii_letters + "_-", min_size=1, max_size=12)

SPELLINGS = spellings("rtsp", "camera.local:554", "live/1")


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
    safe = redact(f"http://camera.local/video?fps=5&{key}=@SECRET{secret}&quality=9")
    assert "SECRET" not in safe
    assert safe.endswith("&quality=9")


def test_the_list_of_spellings_is_long() -> None:
    assert len(SPELLINGS) == len(set(SPELLINGS)) >= 60


@pytest.mark.parametrize("address", SPELLINGS)
def test_no_secret_survives_in_any_spelling(address: str) -> None:
    safe = redact(address)
    assert "S3CRET" in address
    assert "S3CRET" not in safe
    assert "S3CRET" not in redact_address(address)
    assert "S3CRET" not in redact(f"no file or folder '{address}'; did you mean x.mp4?")
    assert redact(safe) == redact_address(safe) == safe
    message = f"{safe}: nobody listens there (connection refused)"
    assert redact(message) == message  # the command line redacts once more


@pytest.mark.parametrize("address", SPELLINGS)
def test_what_is_no_secret_of_an_address_stays_readable(address: str) -> None:
    is_lost = "/" not in address or "admin:S3CRET/live" in address
    assert is_lost or "camera.local:554" in redact(address) or "camera.local" not in address


@pytest.mark.parametrize(
    "address",
    ["https:/me:S3CRET@host/a.jpg", "https:/host/d.zip?token=S3CRET", "s3:/AKIA:S3CRET@bucket/d"],
)
def test_an_address_that_was_taken_for_a_path_hides_its_secrets(address: str) -> None:
    text = redact(f"/data/set/{address}: missing")
    assert "S3CRET" not in text
    assert text.startswith("/data/set/")


TOKENS = [
    "aBcDeFgHiJkLmNoP",
    "kJdsPqWxZrTyUiop",
    "dGhpcyBp_cyBhIHNl-Y3JldA",
    "a8Kd-3fJ_9sLq2-xY7bQ",
    "live_123456789_AbCdEfGhIjKlMnOpQrStUvWxYzAbCd",
    "FB-123456789-0-AbCdEfGhIjKlM",
    "YWRtaW46UzNDUkVU",
]
"""Keys of streams as recorders and services give them out."""


@pytest.mark.parametrize(
    "place", ["{}", "{}?fps=5", "live/{}/index.m3u8", "live/{}.m3u8", "a?format={}"]
)
@pytest.mark.parametrize("token", TOKENS)
def test_a_key_of_small_and_capital_letters_is_hidden(place: str, token: str) -> None:
    address = f"rtsps://192.168.1.1:7441/{place.format(token)}"
    assert token not in redact(f"cannot open {address}: it is gone")
    assert token not in redact_address(address)


@pytest.mark.parametrize(
    "name",
    [
        *("frontDoorCameraLeftSide", "isIPTVOnHDTVAtHome", "LiveViewMainChannel01"),
        *("Cam1-2026-11-27_10-11-12", "RecM01_DST20261127_101112_000_H264", "A_to_B_via_C_at_D"),
        *("Axis-P3245-LVE-Mk2", "h264Preview_01_main", "FrontDoor_2026-11-27T10-11-12"),
    ],
)
def test_a_name_of_words_is_no_key(name: str) -> None:
    assert (
        redact_address(f"rtsp://camera.local/{name}/a.mp4") == f"rtsp://camera.local/{name}/a.mp4"
    )


@pytest.mark.parametrize("key", ["password", "token", "user", "anything", "X-Amz-Signature"])
def test_a_secret_with_blanks_and_quotes_in_it_is_hidden_where_the_address_is_known(
    key: str,
) -> None:
    address = f'http://camera.local/live?{key}=it\'s "my" SECRET&fps=5'
    assert redact_address(address) == f"http://camera.local/live?{key}=***&fps=5"


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://camera.local/live -headers 'Authorization: Basic S3CRET'",
        "http://camera.local/live|User-Agent=x&Authorization=Bearer S3CRET",
        "rtmp://camera.local/app pubUser=u pubPasswd=S3CRET",
        "http://camera.local/live?type=bearer S3CRET",
        "Location: http://camera.local/x?sig=S3CRET",
        "concat:http://u:S3CRET@camera.local/a.ts|http://u:S3CRET@camera.local/b.ts",
        '{"source": "http://camera.local/x?token=S3CRET"}',
        "<rtsp://u:S3CRET@camera.local/x>",
        "no file or folder u:S3CRET@camera.local",
    ],
)
def test_what_is_said_of_an_address_behind_it_is_hidden_too(text: str) -> None:
    safe = redact(text)
    assert "S3CRET" not in safe
    assert "camera.local" in safe
    assert redact(safe) == safe


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
        "rtsp://10.0.0.9/cam/realmonitor?channel=1&subtype=0",
        "rtsp://10.0.0.9:554/Streaming/Channels/101",
        "rtsp://10.0.0.9/user=***_password=***_channel=1_stream=0.sdp",
        "rtsp://[fe80::1]:554/h264?transport=tcp",
        "http://10.0.0.9/axis-cgi/mjpg/video.cgi?resolution=1280x720&fps=12.5&compression=30",
        "http://10.0.0.9/video.mjpg?codec=h264&width=640&height=480",
        "https://example.org/clips/night.mp4",
        "https://example.org/clips/20260727T091530Z_front-left.mp4#t=10",
        "https://example.org/hls/v1080p/seg-00012.ts",
        "/videos/drive@noon.mp4",
        "/videos/key=value/token=7.mp4 broke after 8 frames",
        "videos/a=b.mp4 is empty (0 bytes)",
        "12:30/drive [front]/a.mp4",
        "user=me_password=none.mp4",
        "C:\\videos\\a@b=c.mp4",
        "file.mcap?topic=/camera/front",
        "rendered:?seed=7&frames=600",
        "0",
    ],
)
def test_what_holds_no_credential_stays_as_it_is(harmless: str) -> None:
    assert redact(harmless) == harmless
    assert redact_address(harmless) == harmless


@pytest.mark.parametrize(
    "name", ["a:b@camera.local:80", "x?token=1.mp4", "http%3A%2F%2Fu%3Ap%40h%2Fa.mp4"]
)
def test_a_file_that_lies_on_the_disk_is_no_address(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert redact(f"{name} is empty") != f"{name} is empty"
    (tmp_path / name).touch()
    assert redact(f"{name} is empty") == f"{name} is empty"
    assert redact(f"cannot open '{name}'") == f"cannot open '{name}'"
    assert redact(f"{tmp_path / name} is empty") == f"{tmp_path / name} is empty"


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("rtmp://a.example/live2/s3cr3tkey", "rtmp://a.example/live2/***"),
        ("rtmps://a.example:443/rtmp/FB-12345678-0-AbwXyZ12", "rtmps://a.example:443/rtmp/***"),
        ("rtmp://u:p@a.example/live/x7Gq2?channel=1", "rtmp://***@a.example/live/***?channel=1"),
        (
            "no answer from RTMP://a.example/live/k3y5: end",
            "no answer from RTMP://a.example/live/***: end",
        ),
        ("rtmp://a.example/live/%6B3y5ecret/", "rtmp://a.example/live/***/"),
        *(
            (f"rtmp://a.example/{name}", f"rtmp://a.example/{name}")
            for name in ("live/cam1", "bcs/channel0_main.bcs", "live/front_left", "live/1", "")
        ),
        ("rtsp://a.example/live/s3cr3t", "rtsp://a.example/live/s3cr3t"),
    ],
)
def test_who_may_watch_or_publish_is_the_last_part_of_an_rtmp_address(
    address: str, safe: str
) -> None:
    assert redact(address) == safe
    if address.startswith("rtmp"):
        assert redact_address(address) == safe
