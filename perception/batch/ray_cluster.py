"""A Ray cluster that is reached, or begun on this machine, and what each actor gets of it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneglance.models.cpus import available_cpus
from oneglance.streams.errors import OneglanceError, UsageError
from oneglance.streams.redaction import redact

logger = logging.getLogger(__name__)

LOCAL, AUTO = "local", "auto"

_CLIENT = "ray://"
_CLIENT_PORT = 10001
_ANSWERS_WITHIN_S = 10.0

_RAYS_THREADS = "ray-data-"
"""How the names of Ray Data's own threads begin."""

_STORE_BYTES = 200 * 2**20
"""Of a Ray that we begin: what is in it at once are a few clips' rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """``address``: ``local`` begins a Ray on this machine, for this run; ``auto`` finds the one
    that this machine belongs to; ``ray://HOST:PORT`` and ``HOST:PORT`` reach another.

    ``workers``: actors; None: one for each CPU, or for each ``gpus``. ``gpus``: what each gets.
    """

    address: str
    workers: int | None = None
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """So many actors, each with so much. ``is_client``: reached by Ray's client."""

    workers: int
    cpus: int
    gpus: float = 0.0
    is_client: bool = False


def share(nodes: Sequence[Mapping[str, float]], workers: int | None, gpus: float = 0.0) -> Share:
    """What each actor gets of ``nodes``, each given by its ``CPU`` and ``GPU``: equal shares of
    the CPUs, and as many as fit into each node.

    >>> share([{"CPU": 8}, {"CPU": 4}], 3)
    Share(workers=3, cpus=4, gpus=0.0, is_client=False)
    >>> share([{"CPU": 8}, {"CPU": 4}], None)
    Share(workers=12, cpus=1, gpus=0.0, is_client=False)
    >>> share([{"CPU": 8, "GPU": 2}, {"CPU": 4}], None, 0.5)
    Share(workers=4, cpus=2, gpus=0.5, is_client=False)

    Raises:
        UsageError: so many do not fit.
    """

    def fits(cpus: int) -> int:
        by_cpus = [int(node.get("CPU", 0) // cpus) for node in nodes]
        if not gpus:
            return sum(by_cpus)
        by_gpus = [int(node.get("GPU", 0) / gpus) for node in nodes]
        return sum(map(min, by_cpus, by_gpus))

    most = fits(1)
    asked = most if workers is None else workers
    if not most or asked > most:
        what = f"{sum(node.get('CPU', 0) for node in nodes):g} CPUs"
        what += f" and {sum(node.get('GPU', 0) for node in nodes):g} GPUs" if gpus else ""
        advice = f"give --workers {most} at most" if most else "not one worker fits"
        raise UsageError(f"the Ray cluster has {what}: {advice}")
    cpus = 1
    while fits(cpus + 1) >= asked:
        cpus += 1
    return Share(asked, cpus, gpus)


@contextmanager
def connected(cluster: Cluster) -> Iterator[Share]:
    """Ray, reached or begun, for as long as the context lasts.

    Raises:
        UsageError: Ray is not installed, or the cluster is another Ray's or Python's, or too small.
        OneglanceError: it cannot be reached.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # a thread that ends late would begin a Ray anew
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if cluster.address != LOCAL and _has_token():  # clusters ask for it, and Ray offers it to none
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        ray = loaded()
    except ImportError:
        raise UsageError("ray is not installed: pip install 'oneglance[ray]'") from None
    is_client = cluster.address.startswith(_CLIENT)
    with _handlers_kept(), _quiet():
        _connect(cluster)
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        found = share(nodes, cluster.workers, cluster.gpus)
        yield Share(found.workers, found.cpus, found.gpus, is_client)
    finally:
        end_quietly()
        with _handlers_kept(), contextlib.suppress(Exception):
            ray.shutdown()


def end_quietly() -> None:
    """What Ray Data's own threads raise from now on is no news: some ask a Ray that is gone, when a
    run ends before its work does, and Python would write that down beside our sentence.
    """
    if not isinstance(threading.excepthook, _PassingOver):
        threading.excepthook = _PassingOver(threading.excepthook)


class _PassingOver:
    """A hook for what ends threads that Ray's are no matter for."""

    def __init__(self, others: Callable[[threading.ExceptHookArgs], object]) -> None:
        self._others = others

    def __call__(self, args: threading.ExceptHookArgs, /) -> None:
        if args.thread is not None and args.thread.name.startswith(_RAYS_THREADS):
            logger.debug("%s ended", args.thread.name, exc_info=args.exc_value)
        else:
            self._others(args)


def loaded() -> Any:
    """Ray, whose types say less than it can do.

    Raises:
        ImportError: it is not installed.
    """
    import ray
    import ray.data

    return ray


def _connect(cluster: Cluster) -> None:
    ray = loaded()
    address = cluster.address
    options: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if address == LOCAL:
        options |= {
            "num_cpus": max(available_cpus(), cluster.workers or 1),
            "object_store_memory": _STORE_BYTES,
            "include_dashboard": False,
        }
    elif address != AUTO:
        _knock(address)
    try:
        ray.init(address=address, **options)
    except Exception as error:  # noqa: BLE001 - Ray raises what it likes
        raise refusal(address, error) from None


def _knock(address: str) -> None:
    """See that somebody listens there: Ray would try for minutes."""
    body = address.removeprefix(_CLIENT)
    host, _, port = body.rpartition(":") if re.search(r":\d+$", body) else (body, "", "")
    if address.startswith(_CLIENT) and not port:
        port = str(_CLIENT_PORT)
    if not host or not port or "/" in body or "@" in body:
        raise UsageError(
            f"--address {redact(address)}: give 'local', 'auto', ray://HOST or HOST:PORT"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or "it does not answer"
        raise OneglanceError(
            f"no Ray cluster at {address} ({why.lower()}): is it running, and is that the port of "
            "its head node?"
        ) from None


def refusal(address: str, error: Exception) -> OneglanceError:
    """What Ray raised when it was to reach ``address``, as an error of ours."""
    text = str(error)
    versions = re.findall(r"(?:Ray|Python): (\S+)", text)
    if "ersion mismatch" in text and len(versions) == 4:
        there, here = versions[:2], versions[2:]
        return UsageError(
            f"the Ray cluster at {address} runs Ray {there[0]} on Python {there[1]}, here are Ray "
            f"{here[0]} and Python {here[1]}: both must be the same"
        )
    if "pip package `ray[client]`" in text:
        return UsageError("ray:// needs another package: pip install 'ray[client]'")
    if address == AUTO and isinstance(error, ConnectionError):
        return OneglanceError(
            "this machine belongs to no Ray cluster: give --address local to begin one here, or "
            "the address of its head node"
        )
    if isinstance(error, ConnectionError):
        return OneglanceError(
            f"no Ray cluster at {address} (it does not let us in): where it asks for a token, set "
            "RAY_AUTH_MODE=token and have the token in ~/.ray/auth_token"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = redact(lines[0])[:200] if lines else type(error).__name__
    return OneglanceError(f"no Ray cluster at {address}: {said}")


def sentence(error: Exception) -> str:
    """What Ray raised, in a sentence without what it quotes of our data."""
    text = str(error)
    if "No module named 'oneglance" in text:
        return (
            "a node of the Ray cluster has no oneglance: install the same version, with the extras "
            "ray and batch, on each"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = redact(lines[-1]) if lines else ""
    return (
        f"the Ray cluster ended the run ({type(error).__name__}: {said[:200]}); what was written "
        "is good, the same command goes on from there"
    )


def _has_token() -> bool:
    names = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    return any(map(os.environ.get, names)) or Path("~/.ray/auth_token").expanduser().is_file()


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on the standard error stream: Ray's C++ writes a line of its own when it begins."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - as the system names it
        kept = os.dup(2)
        try:
            os.dup2(nothing.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray sets signal handlers of its own: the command's stay."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Ledger:
    """How often each unit of work was begun, and what was looked at: an actor that outlives the
    others."""

    def __init__(self) -> None:
        self._tries: dict[int, int] = {}
        self._dropped: set[int] = set()
        self._stalled: set[int] = set()
        self._frames = 0

    def begin(self, clip: int, group: int) -> tuple[int, bool]:
        """Which try this is, from 1, or 0: it is not wanted any more; and whether one before gave
        no frame for too long. ``group``: the first of the parts of its clip."""
        if group in self._dropped:
            return 0, False
        self._tries[clip] = self._tries.get(clip, 0) + 1
        return self._tries[clip], clip in self._stalled

    def end(self, clip: int) -> None:
        """It is over."""
        self._tries.pop(clip, None)

    def stall(self, clip: int) -> None:
        """It gave no frame for too long."""
        self._stalled.add(clip)

    def drop(self, group: int) -> None:
        """Begin no more parts of that clip."""
        self._dropped.add(group)

    def see(self, frames: int) -> None:
        """So many more frames were looked at."""
        self._frames += frames

    def take(self) -> int:
        """Frames since the last call."""
        frames, self._frames = self._frames, 0
        return frames
