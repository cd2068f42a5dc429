"""Detections for home automation and dashboards, over MQTT: the extra ``mqtt``.

``mqtt://HOST`` publishes, for each source, below ``oneglance/SOURCE``:

- ``objects``: JSON, at most once a second (``?rate=5``: five times; ``?rate=all``: each result):
  ``counts`` by task, and what a line of the sink ``jsonl`` says, without its timings;
  ``?boxes=off`` leaves the boxes out;
- ``state``: ``online`` or ``offline``, retained; the broker says ``offline`` for us when we are
  gone without a word (the last will).

``?discovery=homeassistant`` announces a sensor a task there, retained, so that Home Assistant
shows the source as a device.

The loop never waits for a broker. While it is away, refuses or is too slow, messages are dropped
and counted, and the log says so once. What never reached it at all is an error at the end.
"""

from __future__ import annotations

import json
import logging
import re
import ssl
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from oneglance.models.tasks import Task
from oneglance.perception.plugins import SinkContext
from oneglance.perception.result import Result
from oneglance.perception.sinks.files import closed_already
from oneglance.perception.sinks.jsonl import as_object, encoded
from oneglance.perception.sinks.mqtt_broker import Broker, BrokerAddress, Target, tls_context
from oneglance.streams.errors import SinkError, UsageError

logger = logging.getLogger(__name__)

PREFIX = "oneglance"
ONLINE, OFFLINE = "online", "offline"
_OPTIONS = ("boxes", "discovery", "rate")
_ICONS = {
    Task.PEDESTRIAN: "mdi:walk",
    Task.CAR: "mdi:car",
    Task.SIGN: "mdi:sign-caution",
    Task.LIGHT: "mdi:traffic-light",
}
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttOptions:
    """``prefix``: the topic above all others. ``rate``: ``objects`` a second and source, None:
    all. ``boxes``: whether they are in it. ``discovery``: Home Assistant's prefix, None: no
    announcement. ``tasks``: those that are counted. ``model``: its name, for the device."""

    prefix: str = PREFIX
    rate: float | None = 1.0
    boxes: bool = True
    discovery: str | None = None
    tasks: tuple[Task, ...] = tuple(Task)
    model: str = ""


class MqttSink:
    """Publishes each source's results on a connection of its own: a last will is one a
    connection, and one source may end while another goes on."""

    def __init__(
        self,
        address: BrokerAddress,
        options: MqttOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is connected before the first result. ``clock``: seconds, for the rate.

        Raises:
            UsageError: a file of certificates cannot be used.
        """
        self._address = address
        self._tls = tls_context(address)
        self._options = options or MqttOptions()
        self._clock = clock
        self._channels: dict[str, _Channel] = {}
        self._is_closed = False

    @property
    def lost(self) -> int:
        """Messages that were not sent: no connection, or one too slow."""
        return sum(channel.broker.lost for channel in tuple(self._channels.values()))

    def connected(self, timeout_s: float) -> bool:
        """Whether every source seen so far has its connection, or gets it within so long."""
        return all(c.broker.connected.wait(timeout_s) for c in self._channels.values())

    def write(self, result: Result) -> None:
        """Publish what is due; waits for nothing.

        Raises:
            SinkError: the sink is closed.
        """
        if self._is_closed:
            raise closed_already("the sink mqtt")
        source = result.frame.source
        channel = self._channels.get(source)
        if channel is None:
            name = self._name(source)
            channel = _Channel(name, source, self._options)
            channel.begin(self._address, self._tls)
            self._channels[source] = channel
        channel.write(result, self._clock())

    def close(self) -> None:
        """Say ``offline`` and part. May be called twice.

        Raises:
            SinkError: the broker was never reached, or let nobody in.
        """
        if self._is_closed:
            return
        self._is_closed = True
        for channel in self._channels.values():
            channel.broker.close((channel.state_topic, OFFLINE))
        brokers = [channel.broker for channel in self._channels.values()]
        never = [broker for broker in brokers if not broker.was_connected]
        if never:
            raise SinkError(
                f"nothing was published to {self._address}: {never[0].reason}; see that the "
                "broker runs there and knows this user"
            )
        if self.lost:
            logger.warning("%s: %d messages were lost", self._address, self.lost)

    def _name(self, source: str) -> str:
        """The source's part of a topic; another one for each source."""
        name = re.sub(r"[^A-Za-z0-9-]+", "_", source).strip("_")[:_LONGEST_NAME] or "camera"
        if any(channel.name == name for channel in self._channels.values()):
            name = f"{name}_{zlib.crc32(source.encode('utf-8', 'replace')):08x}"
        return name


class _Channel:
    """A source, its topics and its connection."""

    broker: Broker

    def __init__(self, name: str, source: str, options: MqttOptions) -> None:
        self.name, self._source, self._options = name, source, options
        self._topic = f"{options.prefix}/{name}"
        self.state_topic = f"{self._topic}/state"
        self._due_s: float | None = None

    def begin(self, address: BrokerAddress, tls: ssl.SSLContext | None) -> None:
        will = (self.state_topic, OFFLINE)
        self.broker = Broker(address, tls, will=will, on_connect=self._greet)

    def write(self, result: Result, now_s: float) -> None:
        rate = self._options.rate
        if rate is not None:
            if self._due_s is not None and now_s < self._due_s:
                return
            self._due_s = now_s + 1 / rate
        payload = objects_message(result, self._options)
        self.broker.publish(f"{self._topic}/objects", encoded(payload))

    def _greet(self, broker: Broker) -> None:
        """Each time that the broker is reached; it may be another that knows nothing of us."""
        if self._options.discovery is not None:
            for task in self._options.tasks:
                topic, config = self._announcement(task)
                broker.retain(topic, json.dumps(config))
        broker.retain(self.state_topic, ONLINE)

    def _announcement(self, task: Task) -> tuple[str, dict[str, Any]]:
        """Topic and payload of Home Assistant's MQTT discovery for a sensor."""
        device = re.sub(r"[^A-Za-z0-9_-]+", "_", self._topic)
        version = metadata.version("oneglance")
        return f"{self._options.discovery}/sensor/{device}/{task.value}/config", {
            "name": f"{task.value} count",
            "unique_id": f"{device}_{task.value}",
            "state_topic": f"{self._topic}/objects",
            "value_template": f"{{{{ value_json.counts.{task.value} }}}}",
            "state_class": "measurement",
            "icon": _ICONS[task],
            "availability_topic": self.state_topic,
            "payload_available": ONLINE,
            "payload_not_available": OFFLINE,
            "device": {
                "identifiers": [device],
                "name": self._source,
                "manufacturer": "oneglance",
                "model": self._options.model or "oneglance",
                "sw_version": version,
            },
            "origin": {"name": "oneglance", "sw_version": version},
        }


def objects_message(result: Result, options: MqttOptions) -> dict[str, Any]:
    """What ``objects`` says of a result: ``counts`` of every task, and the rest as ``jsonl``."""
    found = as_object(result)
    del found["timings_ms"]
    tasks = np.asarray(result.detections.data.get("task", ()))
    found["counts"] = {task.value: int(np.sum(tasks == task.value)) for task in options.tasks}
    if not options.boxes:
        del found["detections"]
    return found


def open_mqtt(target: str, context: SinkContext) -> MqttSink:
    """The sink ``mqtt://HOST[:PORT][/PREFIX][?rate=…&boxes=off&discovery=homeassistant]``.

    Raises:
        UsageError: the target or an option is none.
    """
    parsed = Target.parse(target, known=_OPTIONS, prefix=PREFIX)
    options, defaults = parsed.options, MqttOptions()
    boxes = options.get("boxes", "on")
    if boxes not in {"on", "off"}:
        raise UsageError(f"boxes is on or off, not '{boxes}'")
    discovery = options.get("discovery", "off")
    if not re.fullmatch(r"[A-Za-z0-9_/-]+", discovery):
        raise UsageError("discovery is off or Home Assistant's prefix: discovery=homeassistant")
    seen = {model_class.task for model_class in context.classes}
    return MqttSink(
        parsed.address,
        MqttOptions(
            prefix=parsed.prefix,
            rate=_rate(options["rate"]) if "rate" in options else defaults.rate,
            boxes=boxes == "on",
            discovery=None if discovery == "off" else discovery,
            tasks=tuple(task for task in Task if task in seen) or defaults.tasks,
            model=context.model,
        ),
    )


def open_mqtts(target: str, context: SinkContext) -> MqttSink:
    """The same over TLS: ``mqtts://HOST``; ``?ca=FILE`` trusts the certificates in it alone,
    ``?cert=FILE&key=FILE`` shows a broker that asks who we are.

    Raises:
        UsageError: as ``open_mqtt``.
    """
    return open_mqtt(f"mqtts://{target.removeprefix('//')}", context)


def _rate(text: str) -> float | None:
    if text == "all":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 1000:
        raise UsageError(f"rate is messages a second, 0.001 to 1000, or all, not '{text}'")
    return rate
