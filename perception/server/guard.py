"""Who may see the page: Host, Origin and token are checked before anything else is done.

A page on some other site can make a browser ask us, under our own address or under a name that it
lets point here (DNS rebinding). So a request must name a host that is ours, come from our own page
or from no page at all, and carry the token where there is one.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

SAFE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
}
"""What every answer carries: no script but our own file runs, and no other page frames ours."""

OPEN_PATHS = frozenset({"/healthz"})
"""What anybody may ask who reaches us; the answer names nothing."""

AUTHORISED = "oneglance.authorised"
"""Key in an ASGI scope: whether the request carries the token."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where we listen and who may come. ``host``: the address bound to. ``token``: what a request
    must carry; None: nothing. ``hosts``: names besides under which we may be asked."""

    host: str = "127.0.0.1"
    token: str | None = None
    hosts: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach us."""
        return is_loopback(self.host)

    def knows(self, host: str) -> bool:
        """Whether a Host header (``name:port``) names us. A name that anybody may point here is
        none of ours; numbers cannot be pointed anywhere, and on another machine's network any of
        ours may be asked for."""
        name = _name_of(host)
        if not name:
            return False
        own = {"localhost", *map(str.lower, self.hosts)}
        if name in own or is_loopback(name):
            return True
        if self.is_local:
            return False
        return name in {self.host.lower(), socket.gethostname().lower()} or _is_number(name)

    def admits(self, connection: HTTPConnection) -> bool:
        """Whether a request carries the token, in a header, its query or the page's cookie."""
        return self.admits_openly(connection) or self._is_right(
            connection.cookies.get(self.cookie_name(connection.headers)), self.cookie()
        )

    def admits_openly(self, connection: HTTPConnection) -> bool:
        """The same without the cookie, which a browser sends whatever page asks."""
        kind, _, word = connection.headers.get("authorization", "").partition(" ")
        given = [word] if kind.lower() == "bearer" else []
        given += connection.query_params.getlist("token")
        return any(self._is_right(each.strip(), self.token) for each in given)

    def cookie(self) -> str | None:
        """What the page's cookie holds: not the token itself."""
        if self.token is None:
            return None
        return hmac.new(self.token.encode(), b"page", hashlib.sha256).hexdigest()

    def cookie_name(self, headers: Headers) -> str:
        """Cookies do not know ports; two pages of one host keep theirs apart."""
        port = headers.get("host", "").rpartition(":")[2]
        return f"oneglance_{port if port.isdigit() else 80}"

    @staticmethod
    def _is_right(given: str | None, right: str | None) -> bool:
        if given is None or right is None:
            return False
        return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    why: str


class Guard:
    """ASGI middleware: refuses what ``Access`` does not admit, each reason logged once."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._logged: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        has_token = self._access.admits(connection)
        scope[AUTHORISED] = has_token
        safe_send = _with_headers(send, is_embedded=self._access.admits_openly(connection))
        if refusal := self._refusal(connection, has_token=has_token):
            self._log_once(refusal)
            await _refuse(refusal, scope, receive, safe_send)
        elif self._is_login(connection):
            await self._keep_token(connection)(scope, receive, safe_send)
        else:
            await self._app(scope, receive, safe_send)

    def _refusal(self, connection: HTTPConnection, *, has_token: bool) -> _Refusal | None:
        headers, access = connection.headers, self._access
        host = headers.get("host", "")
        if not access.knows(host):
            return _Refusal(
                421, "asked under a host name that is not ours: see oneglance serve --allow-host"
            )
        origin = headers.get("origin")
        if origin is not None and _place_of(origin) != host.lower():
            return _Refusal(403, "asked by the page of another site")
        if _is_from_elsewhere(headers) and not access.admits_openly(connection):
            return _Refusal(
                403, "asked by the page of another site: embedding needs ?token=, see --token"
            )
        path = connection.scope["path"]
        if access.token is not None and not has_token and path not in OPEN_PATHS:
            return _Refusal(401, "asked without the token: open the address that oneglance printed")
        return None

    def _is_login(self, connection: HTTPConnection) -> bool:
        scope = connection.scope
        return (
            scope["type"] == "http"
            and scope["path"] == "/"
            and "token" in connection.query_params
            and self._access.admits_openly(connection)
        )

    def _keep_token(self, connection: HTTPConnection) -> RedirectResponse:
        """The page without the token in its address, which is shared in links and screenshots."""
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(
            self._access.cookie_name(connection.headers),
            self._access.cookie() or "",
            httponly=True,
            samesite="lax",
            max_age=30 * 24 * 3600,
        )
        return answer

    def _log_once(self, refusal: _Refusal) -> None:
        if refusal.why not in self._logged:
            self._logged.add(refusal.why)
            logger.warning("a request was refused, and others like it will be: %s", refusal.why)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _place_of(origin: str) -> str:
    """The host and port in an Origin header; "" for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name_of(host: str) -> str:
    """The host in a Host header, without port and brackets; "" for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    if parts.netloc != host or "@" in host:
        return ""
    return (parts.hostname or "").rstrip(".")


def _is_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that another site's page asks, and not the person who looks."""
    if headers.get("sec-fetch-site", "none") in {"none", "same-origin"}:
        return False
    return headers.get("sec-fetch-mode") != "navigate" or headers.get("sec-fetch-dest") not in {
        None,
        "document",
    }


def _with_headers(send: Send, *, is_embedded: bool) -> Send:
    async def safe_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
            policy = "cross-origin" if is_embedded else "same-origin"
            headers.setdefault("cross-origin-resource-policy", policy)
        await send(message)

    return safe_send


async def _refuse(refusal: _Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        return
    await PlainTextResponse(f"Refused: {refusal.why}\n", refusal.status)(scope, receive, send)
