"""Which share of a cluster an actor gets, and clusters that cannot be used."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from oneglance.perception.batch.ray_cluster import end_quietly, refusal, share
from oneglance.streams import UsageError
from program import Program
from ray_head import ray_head, run

SECRET = "hunter2-secret"

posix_only = pytest.mark.skipif(os.name == "nt", reason="a cluster on Linux")


def test_shares_are_equal_and_fit_into_their_nodes() -> None:
    assert share([{"CPU": 4}], 4).cpus == 1
    assert share([{"CPU": 4}], 2).cpus == 2
    assert share([{"CPU": 4}], 3).cpus == 1
    assert share([{"CPU": 3}, {"CPU": 3}], 3).cpus == 1  # two of two CPUs do not fit into three
    assert share([{"CPU": 0}, {"CPU": 8}], 2).cpus == 4
    assert share([{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 1}], None, 1.0).workers == 2


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "said"),
    [
        ([{"CPU": 4}], 5, 0.0, "has 4 CPUs: give --workers 4 at most"),
        ([{"CPU": 4}], None, 1.0, "has 4 CPUs and 0 GPUs: not one worker fits"),
        ([{}], None, 0.0, "has 0 CPUs: not one worker fits"),
    ],
)
def test_workers_that_do_not_fit_are_refused_and_not_waited_for(
    nodes: list[dict[str, float]], workers: int | None, gpus: float, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        share(nodes, workers, gpus)


def closed_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        return port


@pytest.mark.parametrize("scheme", ["ray://", ""])
def test_a_cluster_that_cannot_be_reached_is_a_sentence(
    oneglance: Program, model: Path, tmp_path: Path, scheme: str
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    address = f"{scheme}127.0.0.1:{closed_port()}"
    ended = oneglance(
        *("batch", tmp_path / "a.mp4", "--model", model, "--out", tmp_path / "out"),
        *("--address", address),
    )
    assert ended.code == 2
    assert f"no Ray cluster at {address} (connection refused)" in ended.message


@pytest.mark.parametrize("address", ["cluster", f"ray://user:{SECRET}@host:1", "http://host:1/a"])
def test_what_is_no_address_of_a_cluster_is_a_sentence(
    oneglance: Program, model: Path, tmp_path: Path, address: str
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    ended = oneglance(
        *("batch", tmp_path / "a.mp4", "--model", model, "--out", tmp_path / "out"),
        *("--address", address),
    )
    assert ended.code == 2
    assert "give 'local', 'auto', ray://HOST or" in ended.message
    assert SECRET not in ended.err


@posix_only
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cluster_of_another_ray_or_python_is_a_sentence(model: Path, tmp_path: Path) -> None:
    with ray_head(version="2.0.1", python="3.7.1") as head:
        ended = run(
            *("batch", tmp_path / "a.mp4", "--model", model, "--out", tmp_path / "out"),
            *("--address", head.address),
        )
    assert ended.code == 2
    assert "runs Ray 2.0.1 on Python 3.7.1, here are Ray" in ended.message


def test_what_ray_says_of_another_python_becomes_a_sentence() -> None:
    utils = pytest.importorskip("ray._private.utils", reason="needs the extra ray")
    other = {"ray_version": "2.9.0", "python_version": "3.10.4"}
    with pytest.raises(RuntimeError) as caught:  # as a server of Ray's client is refused
        utils.check_version_info(other, "Ray Client", python_version_match_level="minor")
    said = str(refusal("ray://fleet:10001", caught.value))
    assert said.startswith("the Ray cluster at ray://fleet:10001 runs Ray 2.9.0 on Python 3.10.4")
    assert "\n" not in said


def test_when_the_run_is_over_rays_own_threads_end_quietly_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[str] = []

    def listen(args: threading.ExceptHookArgs, /) -> None:
        heard.append(args.thread.name if args.thread else "")

    def fail() -> None:
        raise RuntimeError("Ray has not been started yet")

    def end(name: str) -> None:
        thread = threading.Thread(target=fail, name=name)
        thread.start()
        thread.join()

    monkeypatch.setattr(threading, "excepthook", listen)
    end("ray-data-metadata-prefetch")
    end_quietly()
    quiet = threading.excepthook
    end_quietly()  # of a second run
    assert threading.excepthook is quiet
    end("ray-data-metadata-prefetch")
    end("oneglance-ray-data")
    assert heard == ["ray-data-metadata-prefetch", "oneglance-ray-data"]
