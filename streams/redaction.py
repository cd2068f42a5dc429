"""The one place that makes a URL safe to print."""

import re

# Everything between "scheme://" and the last "@" before the host's first "/", "?" or "#" is
# a credential; a password may itself hold "@", ":" and "/", so the greedy match runs to the
# last "@" of the whole word.
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"]*@")
_QUERY_SECRET = re.compile(
    r"(?P<key>[?&;](?:pass(?:word|wd)?|pwd|token|auth|key|api_?key|secret|user(?:name)?|login)=)[^&;\s'\"]*",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """``text`` with every credential inside a URL replaced by ``***``.

    Works on a bare URL and on a message that quotes one. It hides too much rather than too
    little: an ``@`` in a path hides all before it.

    >>> redact("rtsp://admin:p@ss/w0rd@camera.local:554/stream?token=abc&fps=5")
    'rtsp://***@camera.local:554/stream?token=***&fps=5'
    """
    return _QUERY_SECRET.sub(r"\g<key>***", _USERINFO.sub(r"\g<scheme>***@", text))
