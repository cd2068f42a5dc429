"""What Prometheus reads of a run: the real checker and the real server read it too."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

pytest.importorskip("prometheus_client", reason="needs the 'serve' extra")

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from live_runs import Camera, health_of, quick
from oneglance.models import Detector
from oneglance.perception import Pipeline, Result
from oneglance.perception.budget import AgeBudget, BudgetStatus, Step
from oneglance.perception.health import Health, SourceHealth
from oneglance.perception.server.metrics import (
    BUCKETS_S,
    PipelineCollector,
    SourceLabel,
    label_for,
    metrics_of,
)
from oneglance.perception.summary import RunSummary, Telemetry
from oneglance.streams import State
from waiting import wait_until


class Run:
    """Figures that a test chooses, as a pipeline would give them."""

    def __init__(
        self, *sources: SourceHealth, stuck: bool = False, budget: BudgetStatus | None = None
    ) -> None:
        self.telemetry = Telemetry(mode="live", model="road4-n", engine="onnxruntime")
        self.sources, self.stuck, self.budget = sources, stuck, budget

    def health(self) -> Health:
        return Health(sources=self.sources, inference_s=0.02, stuck=self.stuck, budget=self.budget)

    def summary(self) -> RunSummary:
        return self.telemetry.summary()


Sample = tuple[str, tuple[tuple[str, str], ...]]


def scraped(registry: CollectorRegistry) -> dict[Sample, float]:
    """Every sample by name and labels; fails when one stands twice."""
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def of(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return scraped(registry)[name, tuple(sorted(labels.items()))]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Pipeline]:
    """A live run of two cameras, that goes on until the tests are done."""
    cameras = [Camera("left"), Camera("right")]
    loop = Pipeline(cameras, Detector.load(model, threads=1), mode=quick())
    thread = threading.Thread(target=loop.run)
    thread.start()
    wait_until(lambda: loop.summary().frames > 20)
    yield loop
    loop.close()
    thread.join()


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}; tests/check.py installs it on Debian")
    return found


def test_counts_are_those_of_the_runs_health() -> None:
    registry = metrics_of(Run(health_of("front"), health_of("rear", produced=7)))
    assert of(registry, "oneglance_frames_produced_total", source="front") == 100
    assert of(registry, "oneglance_frames_produced_total", source="rear") == 7
    assert of(registry, "oneglance_frames_delivered_total", source="front") == 90
    assert of(registry, "oneglance_frames_corrupt_total", source="front") == 2
    assert of(registry, "oneglance_source_reconnects_total", source="front") == 1
    dropped = of(registry, "oneglance_frames_dropped_total", source="front", reason="newer frame")
    assert dropped == 8


def test_a_source_is_in_one_state_at_a_time() -> None:
    registry = metrics_of(Run(health_of("front", state=State.RECONNECTING)))
    states = {s: of(registry, "oneglance_source_state", source="front", state=s) for s in State}
    assert [state for state, value in states.items() if value] == [State.RECONNECTING]


def test_a_stuck_network_shows() -> None:
    assert of(metrics_of(Run(stuck=True)), "oneglance_inference_stuck") == 1
    assert of(metrics_of(Run()), "oneglance_inference_stuck") == 0


def test_a_budget_shows_its_step_and_how_often_it_changed() -> None:
    budget = AgeBudget(100.0, [Step("large", 1, 40.0), Step("small", 1, 10.0)], now_s=0.0)
    budget.note(0.2, now_s=1.0)
    registry = metrics_of(Run(budget=budget.status()))
    assert of(registry, "oneglance_budget_seconds") == 0.1
    steps = {
        name: of(registry, "oneglance_budget_step", model=name, every="1")
        for name in ("large", "small")
    }
    assert steps == {"large": 0, "small": 1}
    assert of(registry, "oneglance_budget_changes_total", direction="down") == 1
    assert of(registry, "oneglance_budget_changes_total", direction="up") == 0
    assert of(registry, "oneglance_budget_exceeded_total") == 1
    without = {name for name, _ in scraped(metrics_of(Run()))}
    assert not any("budget" in name for name in without)


def test_what_is_not_known_yet_is_left_out_and_not_zero() -> None:
    registry = metrics_of(Run(health_of("front", age_s=None, fps_measured=None)))
    names = {name for name, _ in scraped(registry)}
    assert not names & {"oneglance_source_frame_age_seconds", "oneglance_source_fps"}
    assert not {name for name in names if name.startswith("oneglance_age")}


def test_histograms_are_cumulative_and_add_up(pipeline: Pipeline) -> None:
    found = scraped(metrics_of(pipeline))
    for stem, labels in (
        ("oneglance_stage_seconds", (("stage", "inference"),)),
        ("oneglance_age_seconds", ()),
        ("oneglance_end_to_end_seconds", ()),
    ):
        buckets = [
            (float(dict(key)["le"]), value)
            for (name, key), value in found.items()
            if name == f"{stem}_bucket" and set(labels) <= set(key)
        ]
        counts = [value for _, value in sorted(buckets)]
        assert len(counts) == len(BUCKETS_S) + 1
        assert counts == sorted(counts)
        assert counts[-1] == found[f"{stem}_count", labels] > 0
        assert 0 < found[f"{stem}_sum", labels] <= counts[-1] * 60


def test_a_duration_is_counted_from_its_bound_on() -> None:
    run = Run()
    run.telemetry.age.add(0.012)
    registry = metrics_of(run)
    assert of(registry, "oneglance_age_seconds_bucket", le="0.01") == 0
    assert of(registry, "oneglance_age_seconds_bucket", le="0.015") == 1
    assert of(registry, "oneglance_age_seconds_sum") == pytest.approx(0.012)


@pytest.mark.parametrize("label", list(SourceLabel))
def test_no_label_is_an_address_or_a_track(label: SourceLabel) -> None:
    names = (
        "rtsp://***@camera.local:554/front?token=***",
        "rtsp://***@camera.local:554/front?token=***&fps=5",
        "/home/me/drive.mp4",
        "rendered:?frames=3",
    )
    registry = metrics_of(Run(*map(health_of, names)), label=label)
    values = {value for _, labels in scraped(registry) for _, value in labels}
    assert not [value for value in values if "://" in value or "***" in value or "/home" in value]
    labels = {key for _, pairs in scraped(registry) for key, _ in pairs}
    assert not [key for key in labels if "track" in key]


@pytest.mark.parametrize(
    "name", ['say "hi"', "two\nlines", "back\\slash", "\N{SNOWMAN}", 'x{le="1"}', "caf\udce9", ""]
)
def test_whatever_a_source_is_called_prometheus_reads_it(name: str) -> None:
    registry = metrics_of(Run(health_of(name)))
    shown = name.replace("\udce9", "?")
    assert of(registry, "oneglance_frames_produced_total", source=shown) == 100


def test_sources_of_ever_new_names_do_not_pile_up() -> None:
    run = Run()
    collector = PipelineCollector(run)
    for number in range(2000):
        run.sources = (health_of(f"rtsp://camera {number}"),)
        assert next(iter(collector.collect())).samples[0].labels == {"source": f"camera {number}"}
    run.sources = (health_of("rtsp://camera 0?again"),)  # the first of that label is forgotten
    assert next(iter(collector.collect())).samples[0].labels == {"source": "camera 0"}


def test_a_hashed_label_is_the_same_from_run_to_run_and_shows_no_name() -> None:
    assert label_for("front", SourceLabel.HASHED) == label_for("front", SourceLabel.HASHED)
    assert "front" not in generate_latest(
        metrics_of(Run(health_of("front")), label=SourceLabel.HASHED)
    ).decode().replace("oneglance", "")


def test_without_a_source_label_sources_are_added_up() -> None:
    run = Run(health_of("front"), health_of("rear"), health_of("left", state=State.STALLED))
    registry = metrics_of(run, label=SourceLabel.NONE)
    assert of(registry, "oneglance_frames_produced_total") == 300
    assert of(registry, "oneglance_frames_dropped_total", reason="newer frame") == 24
    assert of(registry, "oneglance_source_state", state="live") == 2


def test_a_source_that_comes_back_under_another_name_keeps_labels_apart() -> None:
    run = Run(health_of("rtsp://a/x?token=1"))
    registry = metrics_of(run)
    run.sources = (health_of("rtsp://a/x?token=2"), *run.sources)
    named = {dict(labels).get("source") for _, labels in scraped(registry)} - {None}
    assert "a/x" in named
    assert len(named) == 2


def test_prometheus_own_checker_finds_nothing_to_say(pipeline: Pipeline) -> None:
    for label in SourceLabel:
        done = subprocess.run(
            [program("promtool"), "check", "metrics"],
            input=generate_latest(metrics_of(pipeline, label=label)),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# -- the dashboard -------------------------------------------------------------------------


def dashboard() -> dict[str, Any]:
    text = (resources.files("oneglance.perception.server") / "grafana.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def test_every_query_of_the_dashboard_names_metrics_and_labels_that_exist(
    result: Callable[..., Result],
) -> None:
    run = Run(health_of("front"))
    run.telemetry.add(result(timings={"inference": 0.02}, age_s=0.1))
    found = scraped(metrics_of(run))
    known = {name for name, _ in found}
    labels = {key for _, pairs in found for key, _ in pairs}
    variables = [v["query"] for v in dashboard()["templating"]["list"] if v["type"] == "query"]
    assert len(expressions()) > 10
    for expression in [*expressions(), *variables]:
        names = set(re.findall(r"oneglance_\w+", expression))
        assert names, expression
        assert names <= known, names - known
        assert set(re.findall(r"(\w+)=~?\"", expression)) <= labels, expression


def test_the_dashboards_panels_lie_beside_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Callable[[str], list[Any]]]:
    """A real server that scrapes ``target``; asks it and returns what it found."""
    binary = program("prometheus")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    config = folder / "prometheus.yml"
    config.write_text(
        "scrape_configs:\n- job_name: oneglance\n  scrape_interval: 500ms\n"
        f"  scrape_timeout: 500ms\n  static_configs:\n  - targets: ['{target}']\n"
    )
    words = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    words += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]

    def ask(query: str) -> list[Any]:
        url = f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': query})}"
        with urlopen(url, timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        results: list[Any] = found["data"]["result"]
        return results

    def is_up() -> bool:
        try:
            return bool(ask("up == 1"))
        except OSError:
            assert process.poll() is None, "Prometheus has ended"
            return False

    with subprocess.Popen([binary, *words]) as process:
        try:
            wait_until(is_up, "Prometheus has scraped us")
            yield ask
        finally:
            process.terminate()


@pytest.mark.slow
def test_a_real_prometheus_scrapes_a_run_and_answers_the_dashboard(
    tmp_path: Path, pipeline: Pipeline
) -> None:
    program("prometheus")
    server, thread = start_http_server(0, addr="127.0.0.1", registry=metrics_of(pipeline))
    try:
        target = f"127.0.0.1:{server.server_port}"
        with prometheus(tmp_path, target) as ask:
            wait_until(lambda: ask("rate(oneglance_results_total[30s]) > 0"))
            (left,) = ask('oneglance_frames_delivered_total{source="left"}')
            assert float(left["value"][1]) > 0
            assert {s["metric"]["state"] for s in ask("oneglance_source_state == 1")} == {"live"}
            for expression in expressions():
                query = expression.replace("$source", ".*").replace("$__rate_interval", "30s")
                found = ask(query)
                if "dropped" not in query and "corrupt" not in query:
                    assert found, query
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
