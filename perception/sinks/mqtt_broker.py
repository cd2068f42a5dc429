"""One connection to an MQTT broker that never keeps anybody waiting: the extra ``mqtt``.

paho-mqtt's own thread connects, sends and connects again; whoever publishes only puts a message
into its hands, and only while there is a connection and few messages wait to leave.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from oneglance.streams import shutdown
from oneglance.streams.errors import UsageError, cause

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessageInfo
    from paho.mqtt.reasoncodes import ReasonCode

logger = logging.getLogger(__name__)

USERNAME, PASSWORD = "ONEGLANCE_MQTT_USERNAME", "ONEGLANCE_MQTT_PASSWORD"
"""Where credentials come from that no command line should show."""

_PORT, _TLS_PORT = 1883, 8883
_KEEPALIVE_S = 15
"""A broker that is silent for one and a half of these is taken for gone, by either side."""

MOST_ON_THEIR_WAY = 32
"""Messages that may wait for a slow connection."""

_CONNECT_S = 5.0
_OF_TLS = ("ca", "cert", "key")
_SLOWEST_RETRY_S = 30
_LONGEST_USER = 10_000  # encoded; what the protocol has room for is 65 535 bytes of each


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and how to speak with it; its ``str`` is safe to print. ``ca``: a file of
    certificates to trust; ``cert`` and ``key``: files by which a broker that asks knows us."""

    host: str
    port: int = _PORT
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """``[mqtt://|mqtts://][USER[:PASSWORD]@]HOST[:PORT][/PREFIX][?options]``, parsed."""

    address: BrokerAddress
    prefix: str
    options: dict[str, str]

    @classmethod
    def parse(cls, text: str, *, known: tuple[str, ...], prefix: str) -> Target:
        """What ``text`` names; ``known``: its options but those of TLS; ``prefix``: where none is.

        User name and password are percent-encoded, or come from ``ONEGLANCE_MQTT_USERNAME`` and
        ``ONEGLANCE_MQTT_PASSWORD``.

        >>> target = Target.parse("mqtts://me:p%40ss@broker.local/home", known=(), prefix="x")
        >>> str(target.address), target.prefix
        ('mqtts://broker.local:8883', 'home')

        Raises:
            UsageError: no host, a port that is none, an unknown option, a prefix that no topic
                may have; no message holds what stands before the host.
        """
        tls = text.startswith("mqtts://")
        rest = text.removeprefix("mqtts:").removeprefix("mqtt:").removeprefix("//")
        user, at_sign, rest = rest.rpartition("@")  # a password may hold an @ or a / of its own
        rest, _, query = rest.partition("?")
        place, slash, path = rest.partition("/")
        options = dict(parse_qsl(query, keep_blank_values=True))
        unknown = sorted(options.keys() - {*known, *_OF_TLS})
        if unknown:
            every = ", ".join(sorted({*known, *_OF_TLS}))
            raise UsageError(f"the sink mqtt has no option {unknown[0]} (options: {every})")
        files = {name: options.pop(name) for name in _OF_TLS if name in options}
        if files and not tls:
            raise UsageError(
                f"the sink mqtt uses {next(iter(files))}= with TLS only: give mqtts://HOST"
            )
        if "key" in files and "cert" not in files:
            raise UsageError("the sink mqtt uses key= with cert= only")
        host, port = _place(place, _TLS_PORT if tls else _PORT)
        name, colon, word = user.partition(":")
        if len(user) > _LONGEST_USER:
            raise UsageError("the sink mqtt takes no user name and password as long as these")
        address = BrokerAddress(
            host,
            port,
            tls,
            unquote(name) if at_sign else os.environ.get(USERNAME),
            unquote(word) if colon else os.environ.get(PASSWORD),
            **files,
        )
        path = path.strip("/") if slash else ""
        return cls(address, _topic(path or prefix), options)


class Broker:
    """A connection that comes and goes.

    ``will``: a topic and what the broker says there, retained, when we are gone without a word.
    ``on_connect``: called in the connection's thread each time there is one; may ``retain``.
    ``lost``: messages that were given up because there was no connection, or it was too slow.
    ``connected``: set while there is a connection; ``was_connected``: there was one.
    """

    def __init__(
        self,
        address: BrokerAddress,
        tls: ssl.SSLContext | None,
        *,
        will: tuple[str, str],
        on_connect: Callable[[Broker], None],
    ) -> None:
        """Begin to connect; returns at once. ``tls``: what ``tls_context`` gives."""
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.address = address
        self.lost = 0
        self.connected = threading.Event()
        self.was_connected = False
        self._greet = on_connect
        self._lock = threading.Lock()
        self._newest: dict[str, str] = {}
        self._sent: deque[MQTTMessageInfo] = deque()
        self._reason = "no answer"
        self._is_reported = self._closed = False
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"oneglance-{secrets.token_hex(4)}"
        )
        self._client.username_pw_set(address.username, address.password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.will_set(*will, qos=1, retain=True)
        self._client.connect_timeout = _CONNECT_S
        self._client.reconnect_delay_set(1, _SLOWEST_RETRY_S)
        self._client.on_connect = lambda *said: self._connected(said[3])
        self._client.on_connect_fail = lambda *_: self._failed()
        self._client.on_disconnect = lambda *said: self._disconnected(said[3])
        self._client.connect_async(address.host, address.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    @property
    def reason(self) -> str:
        """Why there was no connection the last time, in a few words."""
        return self._reason

    def publish(self, topic: str, payload: str) -> None:
        """Send it, at most once (QoS 0), if it can go now.

        While there is no connection the newest message of a topic waits for it; while
        ``MOST_ON_THEIR_WAY`` have not left yet, it is lost.
        """
        with self._lock:
            if not self.connected.is_set():
                self.lost += topic in self._newest
                self._newest[topic] = payload
                return
            while self._sent and self._sent[0].is_published():
                self._sent.popleft()
            if len(self._sent) >= MOST_ON_THEIR_WAY:
                self.lost += 1
                return
            self._sent.append(self._client.publish(topic, payload))

    def retain(self, topic: str, payload: str) -> MQTTMessageInfo:
        """Publish for those who come later too, at least once (QoS 1)."""
        return self._client.publish(topic, payload, qos=1, retain=True)

    def close(self, last_words: tuple[str, str]) -> None:
        """Send what can still go, retain ``last_words`` and part; within some
        ``SINK_STOPPED_S``, whatever the broker does. May be called twice."""
        if self._closed:
            return
        self._closed = True
        until_s = time.monotonic() + shutdown.SINK_STOPPED_S
        if not (self.was_connected or self._is_reported):
            self.connected.wait(shutdown.SINK_STOPPED_S)  # a short run: it is just coming
        if self.connected.is_set():
            with contextlib.suppress(RuntimeError, ValueError):  # it went away meanwhile
                self.retain(*last_words).wait_for_publish(max(0.0, until_s - time.monotonic()))
        self._client.disconnect()
        # Its thread may be in the middle of connecting to a host that does not answer.
        ending = threading.Thread(target=self._client.loop_stop, name="oneglance-mqtt", daemon=True)
        ending.start()
        ending.join(max(0.05, until_s - time.monotonic()))

    # -- the connection's thread -------------------------------------------------------------

    def _connected(self, code: ReasonCode) -> None:
        if code.is_failure:
            self._report(f"refused: {str(code).lower()}")
            return
        if self._is_reported:
            logger.warning("%s answers now; %d messages were lost", self.address, self.lost)
        self._is_reported = False
        self._greet(self)
        with self._lock:
            self._sent.clear()  # what had not gone before will not go
            for topic, payload in self._newest.items():
                self._sent.append(self._client.publish(topic, payload))
            self._newest.clear()
            self.was_connected = True
            self.connected.set()

    def _failed(self) -> None:
        error = sys.exc_info()[1]  # paho-mqtt calls from where it caught it
        self._report(_why(error) if isinstance(error, Exception) else "no answer")

    def _disconnected(self, code: ReasonCode) -> None:
        with self._lock:
            was_connected = self.connected.is_set()
            self.connected.clear()
        if self._closed or not code.is_failure:
            return
        if was_connected:
            self._report("connection lost")
        elif not self._is_reported:  # a refusal says more than that it was hung up on after it
            self._report("it hung up: no MQTT broker, or one with TLS")

    def _report(self, reason: str) -> None:
        """Once for each time that it goes away, however often it is tried."""
        self._reason = reason
        if not self._is_reported:
            self._is_reported = True
            logger.warning("%s cannot be used (%s): it is tried again", self.address, reason)


def _place(text: str, port: int) -> tuple[str, int]:
    """Host and port of ``HOST[:PORT]`` or ``[IPv6][:PORT]``."""
    host, colon, number = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host = text
    elif number.isascii() and number.isdigit() and 0 < int(number) < 65536:
        port = int(number)
    else:
        raise UsageError("the port of the sink mqtt is a number from 1 to 65535: mqtt://HOST:1883")
    if host.startswith("[") != host.endswith("]"):
        host = ""
    host = host.removeprefix("[").removesuffix("]")
    try:
        host.encode("idna")
    except UnicodeError:
        host = ""
    if not host or any(sign.isspace() for sign in host):
        raise UsageError("the sink mqtt needs a host: mqtt://HOST, mqtt://HOST:1883/PREFIX")
    return host, port


def _topic(prefix: str) -> str:
    if any(sign in prefix for sign in "+#\0") or prefix.startswith("$") or len(prefix) > 200:
        raise UsageError(
            "a topic's prefix holds no + and no #, no $ in front and 200 characters at most: "
            "mqtt://HOST/PREFIX"
        )
    return prefix


def tls_context(address: BrokerAddress) -> ssl.SSLContext | None:
    """Whom to trust and who we are; None where there is no TLS.

    Raises:
        UsageError: a file cannot be used.
    """
    if not address.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=address.ca)
    except OSError as error:
        raise UsageError(
            f"{address.ca} is no file of certificates (PEM) for {address}: {_why(error)}"
        ) from None
    if address.cert is not None:
        _add_own(context, address, address.cert)
    context.sslsocket_class = _Socket
    return context


def _add_own(context: ssl.SSLContext, address: BrokerAddress, cert: str) -> None:
    """By what a broker that asks for certificates knows us; the key may be in the same file."""
    try:
        # A locked key is refused: OpenSSL would ask for its password on the terminal.
        context.load_cert_chain(cert, address.key, password=lambda: b"")
    except OSError as error:
        files = cert if address.key is None else f"{cert} and {address.key}"
        raise UsageError(
            f"{files}: no certificate (PEM) and unlocked key to show {address}: {_why(error)}"
        ) from None


class _Socket(ssl.SSLSocket):
    """Closed when nobody can be trusted; paho-mqtt leaves it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _why(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"TLS failed: {error.verify_message}"
        case ssl.SSLError():
            return "TLS failed"
        case TimeoutError():
            return "no answer"
    return cause(error)
