"""Results to a rerun viewer or server that runs, over its gRPC: ``rerun:grpc://HOST[:PORT]``.

The loop never waits for it. Results are encoded and sent by a thread of their own, one by one,
each flushed before the next, so that nothing piles up in rerun's client. ``MOST_WAITING`` wait for
a viewer that is slow or away, the oldest make room and are counted; the log says once that it
cannot be used. What never reached it at all is an error at the end.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from oneglance.perception.result import Result
from oneglance.perception.sinks.rerun_log import APPLICATION, ResultLog
from oneglance.streams import shutdown
from oneglance.streams.errors import SinkError, StreamError, UsageError, cause

logger = logging.getLogger(__name__)

PORT = 9876
"""Where rerun listens unless asked otherwise."""

MOST_WAITING = 8
"""Results that may wait for the viewer."""

_CONNECT_S = 2.0
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class ViewerAddress:
    """Where a viewer listens; its ``str`` is safe to print."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        return f"grpc://{self._place}"

    @property
    def url(self) -> str:
        """The same as rerun calls it."""
        return f"rerun+http://{self._place}/proxy"

    @property
    def _place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What ``grpc://HOST[:PORT]`` names.

        >>> str(ViewerAddress.parse("grpc://viewer.local"))
        'grpc://viewer.local:9876'

        Raises:
            UsageError: it names no host, or more than host and port; the message holds nothing
                of what was given.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
            (host or "").encode("idna")
        except ValueError:  # UnicodeError is one
            host, port = None, None
        if not host or any(sign.isspace() for sign in host) or port == 0:
            raise UsageError("the sink rerun needs a host and port: rerun:grpc://127.0.0.1:9876")
        if parts.username is not None or parts.path.strip("/") or parts.fragment:
            raise UsageError(
                "a rerun viewer has a host and a port alone, no user and no path: "
                "rerun:grpc://HOST:9876"
            )
        return cls(host, PORT if port is None else port)


class RerunViewerSink:
    """Sends each result to a viewer that may come and go.

    ``sent``: results that it has taken. ``lost``: those that were given up, because it was away or
    too slow.
    """

    name = "rerun viewer"

    def __init__(self, address: ViewerAddress, *, with_image: bool = True) -> None:
        """Nothing is connected before the first result."""
        import rerun

        rerun.Scalars(0.0)  # imports all the rest, which takes longer than ``close`` waits
        self._rerun: Any = rerun
        self._address, self._with_image = address, with_image
        self.sent = self.lost = 0
        self._changed = threading.Condition()
        self._waiting: deque[Result] = deque()
        self._thread: threading.Thread | None = None
        self._reason = "no answer"
        self._is_reported = self._ending = self._over = False

    def write(self, result: Result) -> None:
        """Hand it over; waits for nothing."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(result)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="oneglance-rerun", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Send what can still go, and part. May be called twice.

        Raises:
            SinkError: there were results and the viewer has taken none.
        """
        if self._ending or self._thread is None:
            self._ending = True
            return
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            self._await_end()
            self.lost += len(self._waiting)
            self._waiting.clear()
        if not self.sent:
            raise SinkError(
                f"nothing was sent to {self._address}: {self._reason}; see that a rerun viewer "
                "listens there (rerun --serve-grpc --bind 127.0.0.1)"
            )
        if self.lost:
            logger.warning("%s: %d results were lost", self._address, self.lost)

    def _await_end(self) -> None:
        """Wait for as long as the viewer gets on with it."""
        while not self._over:
            sent = self.sent
            if not self._changed.wait_for(
                lambda sent=sent: self._over or self.sent > sent,  # type: ignore[misc]
                shutdown.CLOSE_S,
            ):
                # Or rerun waits at the interpreter's exit, for as long as the connection lasts.
                self._rerun.unregister_shutdown()
                return

    # -- the sending thread ------------------------------------------------------------------

    def _run(self) -> None:
        rerun = self._rerun
        try:
            # One recording however often the connection is made, so that the viewer goes on.
            recording_id = rerun.RecordingStream(APPLICATION).get_recording_id()
            while self._has_work():
                if self._answers():
                    self._talk(rerun.RecordingStream(APPLICATION, recording_id=recording_id))
                elif self._pause():
                    return
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _talk(self, recording: Any) -> None:
        """Send what comes until the connection breaks or there is no more."""
        log = ResultLog(recording, with_image=self._with_image)
        try:
            recording.connect_grpc(self._address.url)
            while (result := self._next()) is not None:
                self._send(result, log, recording)
        except Exception as error:  # noqa: BLE001 - rerun's client raises what it likes
            logger.debug("%s: %s", self._address, error)
            self._report(
                "connection lost" if self.sent else "what listens there is no rerun viewer"
            )
        finally:
            if self._is_reported:
                self._pause()  # before rerun's client, which lets go of a dead peer after 5 s
            with contextlib.suppress(Exception):
                recording.disconnect()

    def _send(self, result: Result, log: ResultLog, recording: Any) -> None:
        try:
            log.add(result)
            log.send()
            self._flush(recording)
        except StreamError:  # its image cannot be made, which the run hears of elsewhere
            self._lose()
        except Exception:
            self._lose()
            raise
        else:
            self._sent()

    def _flush(self, recording: Any) -> None:
        """Wait until all of it has gone: rerun's client would keep it without end."""
        while True:
            try:
                recording.flush(timeout_sec=shutdown.PIECE_S)
            except RuntimeError as error:
                if "timed out" not in str(error):
                    raise
            else:
                return
            self._report("it takes nothing")

    def _has_work(self) -> bool:
        """Wait for a result; False: there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            return bool(self._waiting)

    def _next(self) -> Result | None:
        with self._changed:
            return self._waiting.popleft() if self._has_work() else None

    def _pause(self) -> bool:
        """Wait before the next try; True: there is none, it ends."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ending, _RETRY_S)

    def _answers(self) -> bool:
        """Whether anybody listens there: rerun's own client would be silent about it for 5 s."""
        try:
            socket.create_connection((self._address.host, self._address.port), _CONNECT_S).close()
        except TimeoutError:
            self._report("no answer")
        except OSError as error:
            self._report(cause(error))
        else:
            return True
        return False

    def _report(self, reason: str) -> None:
        """Once for each time that it goes away, however often it is tried."""
        self._reason = reason
        if not self._is_reported:
            self._is_reported = True
            logger.warning("%s cannot be used (%s): it is tried again", self._address, reason)

    def _sent(self) -> None:
        if self._is_reported:
            self._is_reported = False
            logger.warning("%s answers now; %d results were lost", self._address, self.lost)
        with self._changed:
            self.sent += 1
            self._changed.notify_all()

    def _lose(self) -> None:
        with self._changed:
            self.lost += 1
