"""Sources that may fall silent: read by a thread of their own, so that waiting has an end.

A camera driver or a name server can block inside libav where none of its time-outs reaches. The
caller therefore never enters libav: a thread does, and the caller waits for it as long as it was
asked to. A thread that nobody waits for any more is cancelled (``interruption``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Generic, TypeVar

from oneglance.streams.buffers import BlockingBuffer, Closed
from oneglance.streams.decoding.source import AvSource
from oneglance.streams.errors import Reason, SourceStalled
from oneglance.streams.frame import Frame
from oneglance.streams.live.cancellation import cancelled_by, current_cancellations
from oneglance.streams.options import ConnectOptions
from oneglance.streams.playing import played_already

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Answer(Generic[T]):
    """What ``work`` returns or raises, worked out by a thread and waited for as long as one likes.

    ``discard``: what to do with it when nobody waits any more. Work inside libav is interrupted
    then, also when it is another thread's answer that this one's work waits for.
    """

    def __init__(self, work: Callable[[], T], *, discard: Callable[[T], object]) -> None:
        self._answer: BlockingBuffer[T] = BlockingBuffer(1)
        self._work, self._discard = work, discard
        self._halt = threading.Event()
        self._tokens = (*current_cancellations(), self._halt)
        threading.Thread(target=self._run, name="oneglance-open", daemon=True).start()

    def within(self, timeout_s: float) -> T:
        """The answer, if it comes in time.

        Raises:
            TimeoutError: it did not. When it comes after all, it is discarded.
            Closed: ``abandon`` was called meanwhile.
        """
        try:
            return self._answer.get(timeout_s)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Wait no more, from any thread."""
        self._answer.close()
        self._halt.set()

    def _run(self) -> None:
        try:
            with cancelled_by(*self._tokens):
                found = self._work()
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread as it is
            self._answer.finish(error)
        else:
            if not self._answer.put(found):
                self._discard(found)


def opened_within(
    timeout_s: float,
    open_: Callable[[], InputContainer],
    *,
    release: Callable[[], None] = lambda: None,
) -> InputContainer:
    """What ``open_`` returns or raises, if it does so in time.

    ``release``: closes what the container was read from, after it.

    Raises:
        TimeoutError: it did not. It is interrupted; should it come round, what it opened is closed.
    """

    def discard(container: InputContainer) -> None:
        container.close()
        release()

    return Answer(open_, discard=discard).within(timeout_s)


class ThreadedSource(AvSource):
    """A source whose frames are read by a thread and waited for as long as one was asked to.

    The options' ``timeout_s``: for the first frame, which may have to wait for a key frame.
    ``stall_s``: for every other.

    ``close()`` ends iteration at once, whatever libav is doing, and interrupts libav; the reading
    thread closes the container. Damaged frames are counted in ``stats.damaged`` and logged.
    """

    def __init__(
        self,
        container: InputContainer,
        source: str,
        options: ConnectOptions,
    ) -> None:
        super().__init__(container, source, options)
        self._stall_s = options.stall_s
        self._patience_s = max(options.timeout_s, options.stall_s)
        self._frame_buffer: BlockingBuffer[Frame] = BlockingBuffer(1)
        self._halt = threading.Event()

    def __iter__(self) -> Generator[Frame]:
        """Frames as they come; see ``Stream``.

        Raises:
            SourceStalled: none came within the time-out.
            SourceBroken: the source was lost.
            UsageError: it has been iterated before.
        """
        with self._lock:  # the thread would be cancelled, and nobody notices once this is closed
            if self._played:
                raise played_already(self.source)
        reader = threading.Thread(target=self._read, name="oneglance-stream", daemon=True)
        reader.start()
        try:
            while True:
                try:
                    frame = self._frame_buffer.get(self._patience_s)
                except TimeoutError:
                    if self._is_busy():
                        continue
                    raise SourceStalled(self._silence(), reason=Reason.SILENT) from None
                self._patience_s = self._stall_s
                yield frame
        except Closed:
            return
        finally:
            self.close()

    def close(self) -> None:
        """End iteration now; free the source as soon as libav lets go of it."""
        super().close()
        self._frame_buffer.close()
        self._halt.set()

    def _read(self) -> None:
        try:
            with cancelled_by(self._halt), closing(super().__iter__()) as frames:
                for frame in frames:
                    if not self._frame_buffer.put(frame):
                        break
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread as it is
            self._frame_buffer.finish(error)
        else:
            self._frame_buffer.finish()
        if self.stats.damaged:
            logger.warning("%s: %d frame(s) were damaged", self.source, self.stats.damaged)

    def _release(self) -> None:
        # Taking leave of a server may take long; nobody waits for it.
        threading.Thread(target=self._free, name="oneglance-close", daemon=True).start()

    def _is_busy(self) -> bool:
        """Whether it reads what is not given out; libav itself waits for that no longer."""
        return False

    def _silence(self) -> str:
        stats = self.stats
        message = (
            f"{self.source} gave nothing for {self._patience_s:g} s, after {stats.delivered} frames"
        )
        if stats.last_error:
            message += f"; what came since cannot be decoded ({stats.last_error})"
        return message
