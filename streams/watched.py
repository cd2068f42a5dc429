"""Sources that may fall silent: read by a thread of their own, so that waiting has an end.

A camera driver, a name server or a TLS handshake can block inside libav where none of its
time-outs reaches. The caller therefore never enters libav: a thread does, and the caller waits
for it as long as it was told to.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING

from oneglance.streams.buffer import Closed, WaitBuffer
from oneglance.streams.decoding import AvSource
from oneglance.streams.errors import SourceStalled
from oneglance.streams.frame import Frame

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)


def opened_within(timeout_s: float, open_: Callable[[], InputContainer]) -> InputContainer:
    """What ``open_`` returns or raises, if it does so in time.

    Raises:
        TimeoutError: it did not. When it comes round after all, what it opened is closed.
    """
    answer: WaitBuffer[InputContainer] = WaitBuffer(1)

    def work() -> None:
        try:
            container = open_()
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread whole
            answer.finish(error)
        else:
            if not answer.put(container):
                container.close()

    threading.Thread(target=work, name="oneglance-open", daemon=True).start()
    try:
        container, _ = answer.get(timeout_s)
    finally:
        answer.close()
    return container


class WatchedSource(AvSource):
    """A source whose frames are read by a thread and waited for ``timeout_s`` at most.

    ``close()`` ends iteration at once, whatever libav is doing; the reading thread closes the
    container when libav lets go of it. Damaged frames are left out, counted in
    ``tally.damaged`` and logged.
    """

    def __init__(self, container: InputContainer, source: str, *, timeout_s: float) -> None:
        super().__init__(container, source)
        self._timeout_s = timeout_s
        self._arrived: WaitBuffer[Frame] = WaitBuffer(1)

    def __iter__(self) -> Generator[Frame]:
        """Frames as they come; see ``Stream``.

        Raises:
            SourceStalled: none came within the time-out.
            SourceBroken: the source was lost.
            UsageError: it has been iterated before.
        """
        reader = threading.Thread(target=self._read, name="oneglance-stream", daemon=True)
        reader.start()
        try:
            while True:
                frame, _ = self._arrived.get(self._timeout_s)
                yield frame
        except Closed:
            return
        except TimeoutError:
            raise SourceStalled(self._silence()) from None
        finally:
            self.close()

    def close(self) -> None:
        """End iteration now; free the source as soon as libav lets go of it."""
        super().close()
        self._arrived.close()

    def _read(self) -> None:
        try:
            with closing(super().__iter__()) as frames:
                for frame in frames:
                    if not self._arrived.put(frame):
                        break
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread whole
            self._arrived.finish(error)
        else:
            self._arrived.finish()
        if self.tally.damaged:
            logger.warning("%s: left out %d damaged frame(s)", self.source, self.tally.damaged)

    def _release(self) -> None:
        # Taking leave of a server may take long; nobody waits for it.
        threading.Thread(target=self._container.close, name="oneglance-close", daemon=True).start()

    def _silence(self) -> str:
        return (
            f"{self.source} gave nothing for {self._timeout_s:g} s, "
            f"after {self.tally.delivered} frames"
        )
