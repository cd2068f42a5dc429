"""MQTT's passwords and certificates."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mqtt_broker import mosquitto, opened
from oneglance.perception.result import Result
from oneglance.perception.testing import SECRET
from oneglance.streams.errors import SinkError, UsageError
from waiting import LONG_S, wait_until

pytest.importorskip("paho.mqtt", reason="needs the extra mqtt")

Results = Callable[..., Result]


def test_a_broker_that_refuses_is_reported_once_and_without_the_password(
    tmp_path: Path, result: Results, caplog: pytest.LogCaptureFixture
) -> None:
    with mosquitto(tmp_path, passwords={"me": "right"}) as broker:
        sink = opened(f"mqtt://me:{SECRET}@127.0.0.1:{broker.port}")
        sink.write(result())
        wait_until(lambda: caplog.records, "the refusal is reported")
        sink.write(result(index=1))
        with pytest.raises(SinkError, match="refused: not authorized") as reported:
            sink.close()
    assert SECRET not in str(reported.value) + caplog.text


@pytest.mark.parametrize("way", ["address", "environment"])
def test_who_has_the_password_is_let_in(
    tmp_path: Path, result: Results, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    with mosquitto(tmp_path, passwords={"me": "p@ss/wör"}) as broker:
        before = ""
        if way == "address":
            before = "me:p%40ss/w%C3%B6r@"
        else:
            monkeypatch.setenv("ONEGLANCE_MQTT_USERNAME", "me")
            monkeypatch.setenv("ONEGLANCE_MQTT_PASSWORD", "p@ss/wör")
        sink = opened(f"mqtt://{before}127.0.0.1:{broker.port}")
        sink.write(result())
        assert sink.connected(LONG_S)
        sink.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_a_certificate_that_is_trusted_is_spoken_to(
    tmp_path: Path, result: Results, certificate: tuple[Path, Path]
) -> None:
    with mosquitto(tmp_path, tls=certificate) as broker:
        sink = opened(f"mqtts://127.0.0.1:{broker.port}?ca={certificate[0]}")
        sink.write(result())
        assert sink.connected(LONG_S)
        sink.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path,
    result: Results,
    certificate: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with mosquitto(tmp_path, tls=certificate) as broker:
        sink = opened(f"mqtts://me:{SECRET}@127.0.0.1:{broker.port}")
        sink.write(result())
        wait_until(lambda: caplog.records, "it is reported")
        with pytest.raises(SinkError, match=r"TLS failed: self.signed certificate"):
            sink.close()


@pytest.fixture
def own_certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A client's, that vouches for itself."""
    files = tmp_path / "own-cert.pem", tmp_path / "own-key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=camera", "-keyout", str(files[1]), "-out", str(files[0])),
        ],
        check=True,
        capture_output=True,
    )
    return files


def test_a_broker_that_asks_for_certificates_is_shown_ours(
    tmp_path: Path,
    result: Results,
    certificate: tuple[Path, Path],
    own_certificate: tuple[Path, Path],
) -> None:
    cert, key = own_certificate
    both = tmp_path / "both.pem"
    both.write_text(cert.read_text() + key.read_text())
    with mosquitto(tmp_path, tls=certificate, clients_of=cert) as broker:
        place = f"mqtts://127.0.0.1:{broker.port}?ca={certificate[0]}"
        for words in (f"&cert={cert}&key={key}", f"&cert={both}"):
            sink = opened(place + words)
            sink.write(result())
            assert sink.connected(LONG_S)
            sink.close()
        without = opened(place)
        without.write(result())
        with pytest.raises(SinkError, match="nothing was published"):
            without.close()


def test_a_certificate_that_cannot_be_shown_is_refused_at_once(
    tmp_path: Path, certificate: tuple[Path, Path], own_certificate: tuple[Path, Path]
) -> None:
    cert, key = own_certificate
    locked = tmp_path / "locked.pem"
    subprocess.run(
        ["openssl", "rsa", "-aes256", "-passout", f"pass:{SECRET}", "-in", key, "-out", locked],
        check=True,
        capture_output=True,
    )
    for own, its_key in (
        (cert, certificate[1]),  # another's
        (cert, locked),
        (key, key),
        (tmp_path / "none.pem", key),
        (cert, tmp_path / "none.pem"),
    ):
        with pytest.raises(UsageError, match=r"no certificate \(PEM\) and unlocked key"):
            opened(f"mqtts://me:{SECRET}@127.0.0.1?cert={own}&key={its_key}")
