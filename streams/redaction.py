"""The one place that makes a URL safe to print."""

import re

# Everything between "scheme://" and the last "@" before the next URL is a credential: a
# password may itself hold "@", ":", "/", quotes and blanks.
# One slash too few is a common slip, and what a path makes of a URL; "C:/" is no scheme.
# Bounded: the search stays linear.
_SCHEME = r"(?:[A-Za-z][A-Za-z0-9+.-]{0,15}://|[A-Za-z][A-Za-z0-9+.-]{1,15}:/)"
_USERINFO = re.compile(rf"(?P<scheme>{_SCHEME})(?:(?!{_SCHEME}).)*@", re.DOTALL)
_QUERY_SECRET = re.compile(
    r"(?P<key>[?&;](?:pass(?:word|wd)?|pwd|token|auth|key|api_?key|secret|user(?:name)?|login)=)[^&\s]*",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """``text`` with every credential inside a URL replaced by ``***``.

    Works on a bare URL and on a message that quotes some. It hides too much rather than too
    little: an ``@`` in a path, or in what follows the URL, hides all before it. In a query, the
    values of keys that are usual for secrets are hidden.

    >>> redact("rtsp://admin:p@ss/w0rd@camera.local:554/stream?token=abc&fps=5")
    'rtsp://***@camera.local:554/stream?token=***&fps=5'
    """
    return _QUERY_SECRET.sub(r"\g<key>***", _USERINFO.sub(r"\g<scheme>***@", text))
