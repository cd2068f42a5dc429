from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mqtt_broker import Listener, Mosquitto, listening, mosquitto, opened
from oneglance.models.tasks import ModelClass, Task
from oneglance.perception.plugins import SinkContext
from oneglance.perception.result import Result
from oneglance.perception.sinks.mqtt import open_mqtt
from oneglance.perception.testing import SECRET
from oneglance.streams.errors import SinkError, UsageError
from program import Program
from waiting import LONG_S, wait_until

pytest.importorskip("paho.mqtt", reason="needs the extra mqtt")

Results = Callable[..., Result]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as started:
        yield started


def at_least(listener: Listener, count: int) -> bool:
    return len(listener.of("/objects")) >= count


def dead_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
    return port


# -- what is published ---------------------------------------------------------------------


def test_objects_are_counted_by_task_with_their_boxes(broker: Mosquitto, result: Results) -> None:
    sink = opened(f"mqtt://127.0.0.1:{broker.port}")
    with listening(broker.port) as listener:
        sink.write(
            result(
                1.5,
                index=7,
                found=[("car", 0.87, (1, 2, 3, 4), 12), ("car", 0.5, (5, 6, 7, 8), -1)],
                source="rtsp://***@camera.local/live",
            )
        )
        wait_until(lambda: listener.of("/objects"), "the objects arrive")
        sink.close()
        topic = "oneglance/rtsp_camera_local_live/objects"
        (payload,) = [json.loads(text) for name, text in listener.heard if name == topic]
    assert payload["counts"] == {"pedestrian": 0, "car": 2, "sign": 0, "light": 0}
    assert payload["source"] == "rtsp://***@camera.local/live"
    assert (payload["frame"], payload["timestamp_s"]) == (7, 1.5)
    assert payload["detections"][0] == {
        "task": "car",
        "class": "car",
        "confidence": 0.87,
        "xyxy": [1, 2, 3, 4],
        "track_id": 12,
    }


def test_boxes_and_prefix_are_as_asked(broker: Mosquitto, result: Results) -> None:
    sink = opened(f"mqtt:127.0.0.1:{broker.port}/home/street?boxes=off")
    with listening(broker.port, "home/street/drive_mp4/#") as listener:
        sink.write(result())
        wait_until(lambda: listener.of("/objects"), "the objects arrive")
        sink.close()
    assert "detections" not in json.loads(listener.of("/objects")[0])


def test_no_more_is_published_than_the_rate_allows(broker: Mosquitto, result: Results) -> None:
    now_s = [100.0]
    sink = open_mqtt(f"//127.0.0.1:{broker.port}?rate=2", SinkContext())
    sink._clock = lambda: now_s[0]
    with listening(broker.port) as listener:
        for index in range(40):  # 4 s of 10 frames a second
            sink.write(result(index=index))
            assert sink.connected(LONG_S)
            wait_until(partial(at_least, listener, index // 5 + 1), "they arrive")
            now_s[0] += 0.1001
        sink.close()
    frames = [json.loads(text)["frame"] for text in listener.of("/objects")]
    assert frames == [0, 5, 10, 15, 20, 25, 30, 35]


def test_two_sources_have_their_own_topics_even_when_their_names_are_alike(
    broker: Mosquitto, result: Results
) -> None:
    sink = opened(f"mqtt://127.0.0.1:{broker.port}")
    with listening(broker.port) as listener:
        sink.write(result(source="a/b"))
        sink.write(result(source="a_b"))
        wait_until(lambda: len(listener.of("/objects")) == 2, "both arrive")
        sink.close()
    topics = {topic for topic, _ in listener.heard if topic.endswith("/objects")}
    assert len(topics) == 2


def test_home_assistant_hears_of_a_sensor_for_each_task_of_the_model(
    broker: Mosquitto, result: Results
) -> None:
    classes = (ModelClass("light_red", Task.LIGHT), ModelClass("car", Task.CAR))
    target = f"mqtt://127.0.0.1:{broker.port}?discovery=homeassistant"
    sink = opened(target, classes=classes, model="road4-n")
    sink.write(result())
    assert sink.connected(LONG_S)
    sink.close()
    with listening(broker.port) as late:  # what is retained comes to those who come later
        wait_until(lambda: len(late.of("/config")) == 2, "the sensors are announced")
    configs = [json.loads(text) for text in late.of("/config")]
    assert {config["value_template"] for config in configs} == {
        "{{ value_json.counts.light }}",
        "{{ value_json.counts.car }}",
    }
    assert {config["state_topic"] for config in configs} == {"oneglance/drive_mp4/objects"}
    assert {config["availability_topic"] for config in configs} == {"oneglance/drive_mp4/state"}
    assert len({config["unique_id"] for config in configs}) == 2
    assert {config["device"]["model"] for config in configs} == {"road4-n"}
    assert all(
        topic.startswith("homeassistant/sensor/") for topic, _ in late.heard if "conf" in topic
    )


def test_nothing_is_left_for_home_assistant_unless_asked(
    broker: Mosquitto, result: Results
) -> None:
    sink = opened(f"mqtt://127.0.0.1:{broker.port}")
    sink.write(result())
    assert sink.connected(LONG_S)
    sink.close()
    with listening(broker.port) as late:
        wait_until(lambda: late.of("/state"), "what is retained arrives")
    assert late.heard == [("oneglance/drive_mp4/state", "offline")]


# -- state ---------------------------------------------------------------------------------


def test_the_state_is_online_and_offline_after_the_end(broker: Mosquitto, result: Results) -> None:
    with listening(broker.port) as listener:
        sink = opened(f"mqtt://127.0.0.1:{broker.port}")
        sink.write(result())
        wait_until(lambda: listener.of("/state") == ["online"], "it is online")
        sink.close()
        wait_until(lambda: listener.of("/state") == ["online", "offline"], "it is offline")


def test_the_last_will_comes_when_the_process_is_killed(broker: Mosquitto) -> None:
    program = (
        "import sys, time\n"
        "from oneglance.perception.plugins import SinkChoice, SinkContext\n"
        "from oneglance.perception.testing import results\n"
        f"sink = SinkChoice.parse('mqtt://127.0.0.1:{broker.port}').open(SinkContext())\n"
        "sink.write(next(results(1)))\n"
        "time.sleep(600)  # until it is killed\n"
    )
    with listening(broker.port) as listener:
        process = subprocess.Popen([sys.executable, "-c", program])
        try:
            wait_until(lambda: listener.of("/state") == ["online"], "it is online")
        finally:
            process.kill()
            process.wait()
        wait_until(lambda: listener.of("/state") == ["online", "offline"], "the will is read")


# -- brokers that are away -----------------------------------------------------------------


def test_a_broker_that_is_killed_and_comes_back_is_found_again(
    broker: Mosquitto, result: Results, caplog: pytest.LogCaptureFixture
) -> None:
    sink = opened(f"mqtt://127.0.0.1:{broker.port}?rate=all")
    sink.write(result(index=0))
    assert sink.connected(LONG_S)
    broker.kill()
    wait_until(lambda: not sink.connected(0), "the loss is noticed")
    for index in range(1, 200):
        sink.write(result(index=index))
    assert sink.lost >= 198  # the newest one waits
    broker.start()
    with listening(broker.port) as listener:
        assert sink.connected(LONG_S)
        sink.write(result(index=200))
        wait_until(lambda: len(listener.of("/objects")) >= 1, "results come again")
        wait_until(lambda: "online" in listener.of("/state"), "it is online again")
        sink.close()
    reported = [
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
    ]
    assert len([text for text in reported if "cannot be used (connection lost)" in text]) == 1
    assert len([text for text in reported if "answers now" in text]) == 1
    assert len(reported) <= 3  # once each, however often it was tried; and the count at the end


def test_while_a_broker_is_away_nothing_piles_up(result: Results) -> None:
    sink = opened(f"mqtt://127.0.0.1:{dead_port()}?rate=all")
    for index in range(500):
        sink.write(result(index=index))
    assert sink.lost == 499
    with pytest.raises(SinkError, match=r"nothing was published to mqtt://127\.0\.0\.1:\d+: conn"):
        sink.close()
    sink.close()


def test_a_peer_that_accepts_and_says_nothing_holds_nobody_up(result: Results) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = opened(f"mqtt://127.0.0.1:{silent.getsockname()[1]}?rate=all")
        for index in range(50):
            sink.write(result(index=index))
        with pytest.raises(SinkError, match="no answer"):
            sink.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_who_hangs_up_before_it_is_a_connection_is_reported_once(
    answer: bytes, result: Results, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = opened(f"mqtt://127.0.0.1:{server.getsockname()[1]}?rate=all")
        sink.write(result())
        for _ in range(2):  # it is tried again
            peer, _ = server.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(answer)
        wait_until(lambda: caplog.records, "it is reported")
        with pytest.raises(SinkError, match="it hung up: no MQTT broker, or one with TLS"):
            sink.close()
    assert len([r for r in caplog.records if "it is tried again" in r.getMessage()]) == 1


def test_a_broker_that_stops_reading_makes_nothing_pile_up(
    broker: Mosquitto, result: Results
) -> None:
    sink = opened(f"mqtt://127.0.0.1:{broker.port}?rate=all")
    sink.write(result())
    assert sink.connected(LONG_S)
    broker.pause()
    many = result(found=[("car", 0.9, (1, 2, 3, 4), 1)] * 2000)  # what no socket's buffer holds
    for _ in range(150):
        sink.write(many)
    assert sink.lost > 0
    sink.close()


def test_a_run_is_not_changed_by_a_broker_that_is_not_there_and_says_so(
    oneglance: Program, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    port = dead_port()
    run = oneglance(
        *("run", "rendered:?frames=3&size=320x180", "--jsonl", out),
        *("--sink", f"mqtt://me:{SECRET}@127.0.0.1:{port}"),
    )
    assert run.code == 2
    assert len(out.read_text().splitlines()) == 3
    assert f"nothing was published to mqtt://127.0.0.1:{port}: connection refused" in run.err
    assert SECRET not in run.out + run.err


# -- targets that are none -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "reported"),
    [
        ("mqtt", "needs a host"),
        ("mqtt://", "needs a host"),
        ("mqtt://me:{secret}@", "needs a host"),
        ("mqtt://me:{secret}@host:port", "port"),
        ("mqtt://me:{secret}@host:0", "port"),
        ("mqtt://host..name", "needs a host"),
        ("mqtt://[::1", "needs a host"),
        ("mqtt://" + "{secret}" * 2000 + "@host", "as long"),
        ("mqtt://host/" + "a" * 201, "200 characters"),
        ("mqtt://host/a/#", "prefix"),
        ("mqtt://me:{secret}@host?rat=1", "no option rat"),
        ("mqtt://host?rate=0", "rate is messages a second"),
        ("mqtt://host?rate=nan", "rate is messages a second"),
        ("mqtt://host?boxes=1", "boxes is on or off"),
        ("mqtt://host?discovery=", "discovery is off or"),
        ("mqtt://host?ca=x.pem", "ca= with TLS only"),
        ("mqtt://host?cert=x.pem", "cert= with TLS only"),
        ("mqtts://host?key=x.pem", "key= with cert= only"),
    ],
)
def test_a_target_that_is_none_is_refused_at_once(target: str, reported: str) -> None:
    with pytest.raises(UsageError, match=reported) as error:
        opened(target.format(secret=SECRET))
    assert SECRET not in str(error.value)


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for file in (empty, tmp_path / "none.pem"):
        with pytest.raises(UsageError, match="no file of certificates"):
            opened(f"mqtts://127.0.0.1?ca={file}")
