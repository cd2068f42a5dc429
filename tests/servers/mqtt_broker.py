"""A real MQTT broker (mosquitto) that tests may kill and bring back, and somebody who listens."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.perception.sinks.mqtt import MqttSink
from waiting import wait_until

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Mosquitto:
    """A broker on a free port of loopback. ``passwords``: names and words that it lets in; None:
    everybody. ``tls``: its certificate and key."""

    def __init__(
        self,
        folder: Path,
        *,
        passwords: dict[str, str] | None = None,
        tls: tuple[Path, Path] | None = None,
        clients_of: Path | None = None,
    ) -> None:
        if MOSQUITTO is None:
            pytest.skip("needs mosquitto (apt-get install mosquitto)")
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            self.port: int = place.getsockname()[1]
        lines = [f"listener {self.port} 127.0.0.1", "persistence false"]
        lines.append(f"allow_anonymous {'true' if passwords is None else 'false'}")
        if passwords is not None:
            names = folder / "passwords"
            names.write_text("".join(f"{name}:{word}\n" for name, word in passwords.items()))
            names.chmod(0o600)
            subprocess.run(["mosquitto_passwd", "-U", names], check=True, capture_output=True)
            lines.append(f"password_file {names}")
        if tls is not None:
            lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
        if clients_of is not None:  # who has no certificate of these is not let in
            lines += ["require_certificate true", f"cafile {clients_of}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            lines.append("user root")  # else it gives up its rights and cannot read the folder
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self._process = subprocess.Popen(
            [str(MOSQUITTO), "-c", self._config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, "mosquitto listens")
        return self

    def pause(self) -> None:
        """It reads nothing more, and its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """Keeps what is published, in order: ``(topic, payload)``."""

    def __init__(self, port: int, topics: str = "#") -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard: list[tuple[str, str]] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.on_connect = lambda client, *_: client.subscribe(topics, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(self._ready.is_set, "the listener has subscribed")

    def _hear(self, client: object, data: object, message: Any) -> None:
        self.heard.append((message.topic, message.payload.decode()))

    def of(self, ending: str) -> list[str]:
        """The payloads of topics that end so."""
        return [payload for topic, payload in tuple(self.heard) if topic.endswith(ending)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def mosquitto(folder: Path, **how: Any) -> Iterator[Mosquitto]:
    """A broker that is started."""
    broker = Mosquitto(folder, **how)
    try:
        yield broker.start()
    finally:
        broker.kill()


@contextmanager
def listening(port: int, topics: str = "#") -> Iterator[Listener]:
    """Somebody who hears what is published."""
    listener = Listener(port, topics)
    try:
        yield listener
    finally:
        listener.close()


def opened(target: str, **context: object) -> MqttSink:
    """The sink that ``--sink TARGET`` opens."""
    sink = SinkChoice.parse(target).open(SinkContext(**context))  # type: ignore[arg-type]
    assert isinstance(sink, MqttSink)
    return sink
