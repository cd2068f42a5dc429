"""Results to a real rerun server, and to those that are away, deaf or none."""

from __future__ import annotations

import logging
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.sinks.rerun_viewer import MOST_WAITING, RerunViewerSink, ViewerAddress
from oneglance.perception.testing import SECRET, SinkTests, results
from oneglance.streams.errors import SinkError, UsageError
from program import Program, start
from rerun_server import RerunServer, rerun_program, rerun_server
from waiting import LONG_S, wait_until

pytest.importorskip("rerun", reason="needs the extra rerun")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RerunServer]:
    with rerun_server(tmp_path) as started:
        yield started


@pytest.fixture
def dead_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
    return port


def opened(port: int, options: str = "") -> RerunViewerSink:
    sink = SinkChoice.parse(f"rerun:grpc://127.0.0.1:{port}{options}").open(SinkContext())
    assert isinstance(sink, RerunViewerSink)
    return sink


def has_sent(sink: RerunViewerSink, count: int) -> bool:
    return sink.sent >= count


def arrived(server: RerunServer, home: Path) -> dict[str, int]:
    """Rows that the server was sent, by entity."""
    program, environment = rerun_program(home)
    done = subprocess.run(
        [program, "rrd", "print", server.file],
        env=environment,
        capture_output=True,
        text=True,
        check=False,  # the file has no end yet
    )
    rows: dict[str, int] = {}
    for count, entity in re.findall(r"with (\d+) rows .*? - (/camera\S*)", done.stdout):
        rows[entity] = rows.get(entity, 0) + int(count)
    return rows


class TestRerunViewer(SinkTests):
    @pytest.fixture(autouse=True)
    def _served(self, server: RerunServer, dead_port: int) -> None:
        self.port, self.dead_port = server.port, dead_port

    def open(self, folder: Path) -> Sink:
        return opened(self.port)

    def open_failing(self, folder: Path) -> Sink | None:
        return opened(self.dead_port)


@pytest.mark.parametrize("options", ["", "?image=none"])
def test_a_server_gets_every_result(server: RerunServer, tmp_path: Path, options: str) -> None:
    sink = opened(server.port, options)
    for index, result in enumerate(results(20)):
        sink.write(result)
        wait_until(partial(has_sent, sink, index + 1), "it is sent")
    sink.close()
    assert (sink.sent, sink.lost) == (20, 0)
    wait_until(lambda: arrived(server, tmp_path).get("/camera/image/boxes") == 20)
    found = arrived(server, tmp_path)
    assert found["/camera/timings_ms/inference"] == 20
    assert found.get("/camera/image", 0) == (0 if options else 20)


def test_a_server_that_is_not_there_costs_nothing_and_is_reported_once(
    dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    sink = opened(dead_port)
    for result in results(200):
        sink.write(result)
    wait_until(lambda: caplog.records, "it is reported")
    assert sink.lost >= 200 - MOST_WAITING
    with pytest.raises(SinkError, match=r"nothing was sent to grpc://.*: connection refused"):
        sink.close()
    sink.close()
    assert (sink.sent, sink.lost) == (0, 200)
    reported = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(reported) == 1


def test_a_server_that_goes_and_comes_back_gets_what_comes_then(
    server: RerunServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink, given = opened(server.port), results(100_000)
    sink.write(next(given))
    wait_until(lambda: sink.sent == 1, "the first is sent")
    server.stop()

    def reported(words: str) -> bool:
        sink.write(next(given))
        return words in caplog.text

    wait_until(lambda: reported("cannot be used"), "it is reported")
    before = sink.sent
    with rerun_server(tmp_path, port=server.port):
        wait_until(lambda: reported("answers now"), "it is back")
        wait_until(lambda: sink.sent > before, "results are sent again")
        sink.close()
    assert sink.lost > 0
    assert caplog.text.count("cannot be used") == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_listens_and_is_no_viewer_is_not_waited_for(
    words: bytes, tmp_path: Path, model: Path
) -> None:
    """The process ends though its peer holds the connection for as long as the test lasts."""
    lines = tmp_path / "a.jsonl"
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        port = deaf.getsockname()[1]
        process = start(
            *("run", "rendered:?frames=6", "--model", model, "--jsonl", lines),
            *("--sink", f"rerun:grpc://127.0.0.1:{port}"),
            stderr=subprocess.PIPE,
        )
        peers = [deaf.accept()[0] for _ in range(2)]  # our own question first
        for peer in peers:
            peer.sendall(words)
        _, err = process.communicate(timeout=LONG_S)
        for peer in peers:
            peer.close()
    assert len(lines.read_text().splitlines()) == 6
    assert b"Traceback" not in err
    assert process.returncode in {0, 2}  # what fits the system's buffers has gone


def test_a_run_is_not_changed_by_a_server_that_is_not_there_and_says_so(
    oneglance: Program, tmp_path: Path, dead_port: int, model: Path
) -> None:
    out = tmp_path / "out.jsonl"
    run = oneglance(
        *("run", "rendered:?frames=3&size=320x180", "--model", model, "--jsonl", out),
        *("--sink", f"rerun:grpc://127.0.0.1:{dead_port}"),
    )
    assert run.code == 2
    assert len(out.read_text().splitlines()) == 3
    assert f"nothing was sent to grpc://127.0.0.1:{dead_port}: connection refused" in run.err


@pytest.mark.parametrize(
    "target",
    [
        *("grpc:", "grpc://", f"grpc://me:{SECRET}@", f"grpc://me:{SECRET}@host:port"),
        *("grpc://host:0", "grpc://host:70000", "grpc://host..name", "grpc://a b"),
        *(f"grpc://me:{SECRET}@host", f"grpc://host/{SECRET}", f"grpc://host#{SECRET}"),
    ],
)
def test_an_address_that_is_none_is_refused_and_kept_secret(target: str) -> None:
    with pytest.raises(UsageError) as reported:
        SinkChoice("rerun", target).open(SinkContext())
    assert SECRET not in str(reported.value)


def test_an_address_has_the_form_that_rerun_knows() -> None:
    assert ViewerAddress.parse("grpc://[::1]:9").url == "rerun+http://[::1]:9/proxy"
    assert str(ViewerAddress.parse("grpc://viewer.local/")) == "grpc://viewer.local:9876"
