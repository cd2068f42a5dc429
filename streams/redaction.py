"""The one place that makes an address safe to print.

An address hides secrets in its user-info, its query, its fragment, its path (``key=value`` runs,
tokens) and even where a port should be. No list of dangerous names is ever complete, so it is the
other way round: what an address says is hidden unless it is known to be harmless.

A local file name is no address and is never touched. The two are distinguished by the scheme
(``rtsp://``, ``rtsp:/``, ``//host``), and where there is none by the disk: what lies there is a
file.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from urllib.parse import unquote

HIDDEN = "***"

# Values of these may be read by anybody, if they look like what the key promises.
_NUMBERS = frozenset(
    (  # noqa: SIM905 - many words
        "bitrate ch chn compression date delay duration end endtime expires fps frame framerate "
        "frames height index no number part port rate rotation seed size speed start starttime "
        "time timeout width x-amz-date x-amz-expires x-goog-date x-goog-expires"
    ).split()
)
_WORDS = frozenset(
    (  # noqa: SIM905 - many words
        "action audio cam camera channel codec fmt format lang level loop mode multicast profile "
        "proto protocol quality res resolution stream streamtype subtype topic track transport "
        "type unicast version video videocodec x-amz-algorithm x-goog-algorithm"
    ).split()
)
_HARMLESS = _NUMBERS | _WORDS
_NUMBER = re.compile(r"[0-9TZtzxX.:,+-]{0,32}")
_HARMLESS_VALUE = re.compile(r"[A-Za-z0-9._,+/-]{0,32}")
# "t" is a place in a clip (W3C, Media Fragments), or somebody's token.
_PLACE = re.compile(r"(?:npt:)?[\d:.]{1,8}s?(?:,[\d:.]{1,8}s?)?")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.\[\]-]{0,31}")

# Names that end the value before them where a path runs several together; the next segment of a
# path after one of them is its value.
_SECRETS = frozenset(
    (  # noqa: SIM905 - many words
        "access_token accesskey accesstoken api_key apikey auth authkey authtoken hash hmac "
        "jsessionid jwt key login p pass passwd password phpsessid pin psk pw pwd secret session "
        "sessionid sid sig sign signature ticket token u uid user username usr"
    ).split()
)
_RUN_ON = re.compile(
    rf"([_,])(?=(?:{'|'.join(sorted(_HARMLESS | _SECRETS, key=len, reverse=True))})=)",
    re.IGNORECASE,
)

# What no word or number looks like: keys and signatures in hex, base 64 and the like.
_JWT = re.compile(r"ey[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}")
_RUN = re.compile(r"[A-Za-z0-9+~]{16,}")
_MIXED = re.compile(r"[A-Za-z0-9_-]{16,}")
_CASED = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_MOMENT = re.compile(r"\d{8}T?\d{4,9}Z?")
_GROUPS = re.compile(r"(?:[A-Za-z0-9]{4,12}-){3,}[A-Za-z0-9]{4,12}")
# A part of a path that says of itself that it is one; a session of ASP.NET: (S(lit3py55)).
_NAMED = re.compile(
    r"(?P<key>(?:access|auth|id|refresh|session)?[._-]?token|passw(?:or)?d|secret|api[_-]?key|auth|jwt|"
    r"signature|j?session_?id)(?P<mark>[-_~.])(?P<value>.+)",
    re.IGNORECASE,
)
_SESSION = re.compile(r"\((?:[A-Z]\([^()]*\))+\)")
# What is said of an address behind it, as ffmpeg's and rtmpdump's options are.
_OPTION = re.compile(
    r"(?P<key>[\w-]*(?:passw(?:or)?d|passphrase|secret|token|signature|authorization|cookie)[\w-]*"
    r"[ ]?[=:][ ]?)(?:(?:basic|bearer|digest)[ ]+)?(?!\*\*\*)[^\s'\"]+",
    re.IGNORECASE,
)
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")

_NAME = r"[A-Za-z][A-Za-z0-9+.-]"
# What people mean, where a colon or a slash is missing.
_USUAL = r"(?:rtsps?|rtmps?|https?|udp|srt|ftps?|wss?)"
# Where an address begins: at "scheme://", and, at the start of a word, at common slips: a slash or
# a colon too few, slashes that lean the other way. "C:/" is no scheme.
_SCHEME = re.compile(
    rf"(?<![A-Za-z0-9+.:@-]){_NAME}{{0,30}}:(?://|\\\\)"
    rf"|(?:(?<=[\s'\"(<=])|^)"
    rf"(?:{_NAME}{{1,15}}:(?:[/\\]|{_NAME}{{0,30}}://)"
    rf"|(?:{_USUAL}[:;\uff1a]?)?[/\\]{{2,3}}(?=[^\s/\\]*@)"
    rf"|{_USUAL}[:;\uff1a]?[/\\](?=[^\s/\\]*:[^\s]*@))"
    # An address that was taken for a path, below another one.
    rf"|(?<=/)(?:{_USUAL}:/(?=[^/\s])|{_NAME}{{1,15}}:/(?=[^\s/\\]*@))",
    re.IGNORECASE,
)
_ENCODED = re.compile(rf"{_NAME}{{0,30}}%(?:25)*3A%(?:25)*2F[^\s'\"<>]*", re.IGNORECASE)
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|localhost|\d+(?:\.\d+){3}|[\w-]+(?:\.[\w-]+)+|[\w-]+(?=:\d))"
_HOST_AND_PATH = re.compile(rf"{_HOST}(?::\d+)?/", re.IGNORECASE)
# An at sign in a value, as mail addresses have, and not the one before a host.
_AT_IN_VALUE = re.compile(rf"{_HOST}(?::\d+)?/[^?;#@\s]*[?;#][^?@\s]*=", re.IGNORECASE)
_ADDRESS = re.compile(rf"{_HOST}(?::\d+)?(?=[/?;#&]|$)", re.IGNORECASE)
# A value may be JSON, or in quotes; other quotes end an address.
_BODY = re.compile(
    r"(?:(?<=[=:])(?:basic|bearer|digest|token)[ ]+(?=\S)"
    r"|(?<==)(?:\{[^{}\n]*\}|\[[^\[\]\n]*\]|[{\['\"][^\s<>]*)"
    r"|[^\s'\"<>])*",
    re.IGNORECASE,
)
_LONGEST_PATH = 4096
_WORD = re.compile(r"[^\s'\"(<]+")
_CLOSING = ":,;.)"
_BARE = re.compile(
    r"^(?:[^=]*=)?(?![A-Za-z]:[/\\])[^@:/\\]*:.*@"
    r"(?=(?:\[[0-9A-Fa-f:.%]+\]|localhost|\d+(?:\.\d+){3}|[\w-]+(?:\.[\w-]+)*(?=:\d|/)"
    r"|[\w-]+(?:\.[\w-]+)+[:,;.)]*$))"
)
_BARE_PAIR = re.compile(
    rf"(?P<key>[?&;](?:{'|'.join(sorted(_SECRETS, key=len, reverse=True))})=)"
    r"[^&]*[^&:,;.)]",
    re.IGNORECASE,
)
_PORT = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::\d{0,5})?")
# Who may watch, or publish, is the last part of an RTMP address. Names of cameras are words, and at
# their end a number: cam1, front_left, channel0_main.bcs.
_RTMP = re.compile(r"rtmp[a-z]{0,2}:", re.IGNORECASE)
_CAMERA = re.compile(
    r"(?:[A-Za-z]{1,16}\d{0,4})(?:[_.-](?:[A-Za-z]{1,12}\d{0,3}|\d{1,4})){0,3}|\d{1,4}"
)
# Set-top boxes have name and password as two parts of the path.
_SET_TOP = re.compile(r"(?P<before>/(?:live|movie|series|timeshift)/)[^/]+/[^/]+(?=/\d)", re.I)


def printable(name: str) -> str:
    """``name`` as every text can hold it: bytes of a file's name that are no UTF-8 are ``?``.

    >>> printable("drive\\udcff.mp4")
    'drive?.mp4'
    """
    return name.encode("utf-8", "replace").decode()


def redact(text: str) -> str:
    """``text`` with every credential inside an address replaced by ``***``.

    Works on a bare address and on a message that quotes some. It hides too much rather than too
    little: an ``@`` in a path, or in what follows the address, hides all before it. Values of a
    query, a fragment or a ``key=value`` run stay readable only when their key is known to be
    harmless (``fps``, ``channel`` …) and they look it.

    >>> redact("rtsp://admin:p@ss/w0rd@camera.local:554/stream?token=abc&fps=5")
    'rtsp://***@camera.local:554/stream?token=***&fps=5'
    >>> redact("rtsp://10.0.0.9/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp")
    'rtsp://10.0.0.9/user=***_password=***_channel=1_stream=0.sdp'
    >>> redact("a=b.mp4 is empty")
    'a=b.mp4 is empty'
    """
    return _redacted(text, whole=False)


def redact_address(address: str) -> str:
    """``address``, which is no local file, without its credentials.

    Stricter than ``redact``: all of it belongs to the address, blanks and quotes too, and it may
    lack a scheme.

    >>> redact_address("camera.local/live?pin=12 34")
    'camera.local/live?pin=***'
    """
    return _redacted(address, whole=True)


def _redacted(text: str, *, whole: bool) -> str:
    text = _ENCODED.sub(lambda found: _unless_a_file(found[0], _decoded(found[0])), text)
    schemes = [*_SCHEME.finditer(text)]
    starts = [*(scheme.start() for scheme in schemes), len(text)]
    parts = [_schemeless(text[: starts[0]], whole=whole)]
    for scheme, end in zip(schemes, starts[1:], strict=True):
        # A password may itself hold "@", ":", "/", quotes and blanks.
        rest = text[scheme.end() : end]
        before = at_sign = ""
        if not _AT_IN_VALUE.match(rest):
            before, at_sign, rest = rest.rpartition("@")
        body = rest if whole else _body_of(rest)
        is_value = any(sign in before for sign in "?#;&=") and not _HOST_AND_PATH.match(body)
        safe = _without_secrets(body, is_value=is_value)
        if _RTMP.match(scheme[0]):
            safe = _without_key(safe)
        parts += [scheme[0], HIDDEN + "@" if at_sign else "", safe]
        parts += [_schemeless(_OPTION.sub(rf"\g<key>{HIDDEN}", rest[len(body) :]), whole=False)]
    return "".join(parts)


def _body_of(rest: str) -> str:
    found = _BODY.match(rest)
    assert found is not None
    # What ends a sentence, or opens what follows, is no part of the address.
    return found[0].rstrip(_CLOSING)


def _decoded(text: str) -> str:
    for _ in range(4):
        after = unquote(text)
        if after == text:
            break
        text = after
    return text


def _schemeless(text: str, *, whole: bool) -> str:
    before, _, rest = text.rpartition("@")
    if whole and ":" in before and not re.match(r"[A-Za-z]:[/\\]", text):
        return f"{HIDDEN}@{_without_secrets(rest)}"
    if whole and _ADDRESS.match(text) and not os.path.lexists(re.split("[/?]", text)[0]):
        return _without_secrets(text)
    return _WORD.sub(
        lambda word: _unless_a_file(
            word[0], _BARE_PAIR.sub(rf"\g<key>{HIDDEN}", _BARE.sub(f"{HIDDEN}@", word[0]))
        ),
        text,
    )


def _unless_a_file(word: str, safe: str) -> str:
    """``safe``, or ``word`` itself where it names a file of ours."""
    if safe == word or len(word) > _LONGEST_PATH:
        return safe
    return word if os.path.lexists(word.rstrip(_CLOSING)) else safe


def _without_secrets(body: str, *, is_value: bool = False) -> str:
    """What follows the user-info of an address: host, path, query, fragment; or, after an at sign
    in a query, the rest of its value and what follows that."""
    authority = re.split(r"[/\\?#;&]", body, maxsplit=1)[0]
    path = re.split("[?#]", body[len(authority) :], maxsplit=1)[0]
    pairs = body[len(authority) + len(path) :]
    authority = HIDDEN if is_value else _safe_authority(authority)
    return authority + _safe_path(path) + _safe_pairs(pairs)


def _safe_authority(authority: str) -> str:
    decoded = _decoded(authority)
    _, at_sign, host = decoded.rpartition("@")
    if at_sign:
        return f"{HIDDEN}@{_safe_authority(host)}"
    # What stands where a port should be is a password without its at sign.
    return authority if _PORT.fullmatch(authority) and "=" not in decoded else HIDDEN


def _safe_path(path: str) -> str:
    path = _OPTION.sub(rf"\g<key>{HIDDEN}", path) if " " in path else path
    path = _SET_TOP.sub(rf"\g<before>{HIDDEN}/{HIDDEN}", path)
    parts, names_next = [], False
    for part in re.split(r"([/\\])", path):
        if part in {"", "/", "\\"}:
            parts.append(part)
            continue
        parts.append(HIDDEN if names_next else _safe_part(part))
        names_next = part.lower() in _SECRETS and len(part) > 1
    return "".join(parts)


def _without_key(address: str) -> str:
    """Host, path and query of an RTMP address, whose last part is a name or a key."""
    path = re.split("[?#;&]", address, maxsplit=1)[0]
    before, slash, name = path.rstrip("/").rpartition("/")
    if not slash or HIDDEN in name or _CAMERA.fullmatch(_decoded(name)):
        return address
    return before + slash + HIDDEN + address[len(before + slash + name) :]


def _safe_part(part: str) -> str:
    decoded = _decoded(part)
    safe = _safe_run(decoded)
    return part if safe == decoded else safe


def _safe_run(part: str) -> str:
    """One part of a path, which may run several ``key=value`` together."""
    head, mark, parameters = re.split("([;&])", f"{part};", maxsplit=1)
    pieces = [piece if piece in set("_,") else _safe_pair(piece) for piece in _RUN_ON.split(head)]
    return "".join(pieces) + (_safe_pairs(mark + parameters)[:-1])


def _safe_pair(piece: str) -> str:
    """``key=value``, or a part of a path without one."""
    if "=" in piece:
        return _safe_query_pair(piece)
    user, colon, password = piece.partition(":")
    if colon and password and _KEY.fullmatch(user):
        return f"{user}:{HIDDEN}"
    if named := _NAMED.fullmatch(piece):
        suffix = _SUFFIX.search(piece)
        return named["key"] + named["mark"] + HIDDEN + (suffix[0] if suffix else "")
    if _SESSION.fullmatch(piece):
        return HIDDEN
    if not _looks_like_a_token(piece):
        return piece
    suffix = _SUFFIX.search(piece)
    return HIDDEN + (suffix[0] if suffix and not _JWT.match(piece) else "")


def _safe_pairs(query: str) -> str:
    return "".join(
        part if part in set("?#&;") else _safe_query_pair(part)
        for part in re.split("([?#&;])", query)
    )


def _safe_query_pair(pair: str) -> str:
    key, equals, value = pair.partition("=")
    if not equals:  # no key says what it is
        return pair if pair.lower() in _HARMLESS or pair == "" else HIDDEN
    if value.strip("=") == "" and key.lower() not in _HARMLESS | _SECRETS | {"url"}:
        return HIDDEN  # base 64 ends so
    if not _KEY.fullmatch(key) or _looks_like_a_token(key):
        return f"{HIDDEN}={HIDDEN}"
    return pair if _is_harmless(key.lower(), value) or not value else f"{key}={HIDDEN}"


def _is_harmless(key: str, value: str) -> bool:
    if key == "t":
        return _PLACE.fullmatch(value) is not None
    if key in _NUMBERS:
        return _NUMBER.fullmatch(value) is not None
    is_word = key in _WORDS and _HARMLESS_VALUE.fullmatch(value) is not None
    return is_word and not _looks_like_a_token(value)


def _looks_like_a_token(word: str) -> bool:
    if _JWT.match(word) or _GROUPS.fullmatch(word):
        return True
    return any(map(_is_random, _RUN.findall(word))) or any(map(_is_mixed, _MIXED.findall(word)))


def _is_random(run: str) -> bool:
    """Digits among letters, as in keys; not a date, a number or a long word."""
    if _MOMENT.fullmatch(run):
        return False
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(run))
    return changes >= 3 or len(run) >= (24 if changes else 40)


def _is_mixed(run: str) -> bool:
    """Capitals among small letters, as in keys of base 64; not words of any spelling."""
    parts = _CASED.findall(run)
    separators = run.count("-") + run.count("_")
    short = len(parts) >= 6 and sum(map(len, parts)) < 2.7 * len(parts)
    return short and separators <= len(run) / 6 and run not in {run.lower(), run.upper()}
