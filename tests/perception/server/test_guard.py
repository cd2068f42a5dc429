"""Who is let in: hosts, origins, tokens."""

from __future__ import annotations

import socket

import pytest

pytest.importorskip("starlette", reason="needs the 'serve' extra")

from oneglance.perception.server.guard import Access
from oneglance.perception.server.serving import checked_token, listen, new_token
from oneglance.streams import UsageError

LOCAL, OPEN = Access(), Access("0.0.0.0", "x" * 20, ("cams.example",))


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.8.9.1", "localhost."]
)
def test_this_machines_own_names_are_known(host: str) -> None:
    assert LOCAL.knows(host)
    assert OPEN.knows(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil"),
        *("evil@127.0.0.1", "127.0.0.1@evil.example", "127.0.0.1/evil", "127.0.0.1:x", "[::1"),
        *("127.0.0.1#.evil.example", "127.0.0.1?x", "2130706433", "0x7f.1", "localhost\\evil"),
    ],
)
def test_names_that_anybody_can_point_here_are_not(host: str) -> None:
    assert not LOCAL.knows(host)
    assert not OPEN.knows(host)


def test_another_machines_address_is_known_only_where_we_listen_to_other_machines() -> None:
    assert OPEN.knows("192.168.1.9:8080")
    assert OPEN.knows(f"{socket.gethostname()}:8080")
    assert OPEN.knows("cams.example")
    assert not LOCAL.knows("192.168.1.9:8080")


def test_made_tokens_differ_and_pass_our_own_check() -> None:
    one, other = new_token(), new_token()
    assert one != other
    assert checked_token(one) == one


@pytest.mark.parametrize("token", ["", "short", "elevensign", "pässwörd-pässwörd", "a\nb" * 9])
def test_a_token_that_is_easily_guessed_or_fits_no_address_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="a token has at least"):
        checked_token(token)


def test_the_cookie_is_not_the_token() -> None:
    assert OPEN.token is not None
    assert OPEN.token not in (OPEN.cookie() or "")


def test_a_port_in_use_is_reported_in_a_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} of 127\.0\.0\.1 is in use: give"):
            listen("127.0.0.1", port)


def test_an_address_that_is_none_of_ours_is_reported_in_a_sentence() -> None:
    with pytest.raises(UsageError, match=r"cannot be listened on \(.*\): see --host"):
        listen("192.0.2.1", 0)
    with pytest.raises(UsageError, match="from 0 to 65535"):
        listen("127.0.0.1", 70000)
