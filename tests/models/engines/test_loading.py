"""What every engine does alike, and how one is chosen."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oneglance.models import Detector
from oneglance.models.engines.loading import PRECISIONS, load_engine
from oneglance.models.engines.onnxruntime import limit_spinning
from oneglance.models.metadata import Head
from oneglance.streams.errors import ModelError, UsageError

ROWS = np.array([[[0, 0, 8, 8, 0.9, 1]]], np.float32)


def test_a_model_of_ours_runs_and_says_how_long_it_took(load: Any, make_model: Any) -> None:
    engine = load(make_model(ROWS), threads=1)
    output, seconds = engine.run(np.zeros((1, 3, 32, 64), np.float32))
    assert output.tolist() == ROWS.tolist()
    assert seconds > 0
    assert engine.metadata.size == (64, 32)
    assert (engine.threads, engine.precision) == (1, "fp32")


def test_an_output_is_the_callers_to_keep(load: Any, make_model: Any) -> None:
    engine = load(make_model(ROWS, gain=1.0), threads=1)
    dark, _ = engine.run(np.zeros((1, 3, 32, 64), np.float32))
    bright, _ = engine.run(np.ones((1, 3, 32, 64), np.float32))
    assert dark.tolist() == ROWS.tolist()
    np.testing.assert_allclose(bright, ROWS + 1)
    dark[:] = 0  # and to write on
    np.testing.assert_allclose(engine.run(np.zeros((1, 3, 32, 64), np.float32))[0], ROWS)


def test_more_threads_may_ask_at_once_than_there_are_cpus(load: Any, make_model: Any) -> None:
    engine = load(make_model(ROWS, gain=1.0), threads=1)
    levels = np.linspace(0, 1, 64, dtype=np.float32)

    def answer(level: Any) -> Any:
        return engine.run(np.full((1, 3, 32, 64), level, np.float32))[0][0, 0, 0]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(answer, levels))
    np.testing.assert_allclose(found, levels, atol=1e-5)


def test_more_threads_than_cpus_are_taken(load: Any, make_model: Any) -> None:
    engine = load(make_model(ROWS), threads=64)
    assert engine.threads == 64
    assert engine.run(np.zeros((1, 3, 32, 64), np.float32))[0].tolist() == ROWS.tolist()


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")
def test_a_files_name_may_be_any_bytes(load: Any, make_model: Any) -> None:
    file = make_model(ROWS)
    engine = load(file.rename(file.with_name(os.fsdecode(b"caf\xe9.onnx"))), threads=1)
    assert engine.run(np.zeros((1, 3, 32, 64), np.float32))[0].tolist() == ROWS.tolist()


def test_onnx_runtime_does_not_keep_the_file_in_memory(make_model: Any) -> None:
    engine = load_engine(make_model(ROWS), threads=1)
    assert not any(isinstance(held, bytes) for held in vars(engine._session).values())  # type: ignore[attr-defined]


def test_onnx_runtime_has_the_threads_asked_for_and_they_spin_for_microseconds_only(
    make_model: Any,
) -> None:
    engine = load_engine(make_model(ROWS), threads=2)
    options = engine._session.get_session_options()  # type: ignore[attr-defined]
    assert options.intra_op_num_threads == 2
    entry = options.get_session_config_entry
    if entry("session.intra_op.allow_spinning") == "1":
        assert 0 < int(entry("session.intra_op.spin_duration_us")) < 100
        assert entry("session.force_spinning_stop") == "1"


@pytest.mark.parametrize(("version", "may_spin"), [("1.25.9", "0"), ("1.26.0", "1"), ("2.0", "1")])
def test_an_onnx_runtime_that_cannot_limit_spinning_does_not_spin(
    version: str, may_spin: str
) -> None:
    said: dict[str, str] = {}
    options = SimpleNamespace(add_session_config_entry=said.__setitem__)
    limit_spinning(SimpleNamespace(__version__=version), options)
    assert said.pop("session.intra_op.allow_spinning") == may_spin
    assert len(said) == (2 if may_spin == "1" else 0)


def test_a_file_that_is_not_onnx_is_refused_in_one_sentence(load: Any, tmp_path: Path) -> None:
    file = tmp_path / "notes.onnx"
    file.write_text("shopping list")
    with pytest.raises(ModelError, match=r"notes\.onnx is not an ONNX model") as error:
        load(file)
    assert "\n" not in str(error.value)


def test_an_empty_file_is_refused(load: Any, tmp_path: Path) -> None:
    file = tmp_path / "empty.onnx"
    file.touch()
    with pytest.raises(ModelError, match=r"empty\.onnx"):
        load(file)


def test_a_folder_is_refused(load: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
def test_what_never_ends_or_is_too_large_is_refused_unread(load: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "zero.onnx").symlink_to("/dev/zero")
    with (tmp_path / "huge.onnx").open("wb") as huge:
        huge.truncate(3 << 30)  # a hole, which takes no room
    for name, why in (("pipe", "pipe or a device"), ("zero", "a device"), ("huge", "2 GB")):
        with pytest.raises(ModelError, match=rf"{name}\.onnx is .*{why}"):
            load(tmp_path / f"{name}.onnx")


def test_an_onnx_model_without_our_metadata_is_refused(load: Any, make_model: Any) -> None:
    with pytest.raises(ModelError, match="not one of ours"):
        load(make_model(ROWS, metadata=False))


def test_a_model_with_external_data_is_refused(load: Any, make_model: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(make_model(np.zeros((1, 300, 6), np.float32)))
    file = tmp_path / "outside.onnx"
    onnx.save(model, file, save_as_external_data=True, location="weights.bin", size_threshold=1024)
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(ModelError, match="external data"):
        load(file)


def test_an_output_that_is_not_the_layout_named_is_refused(load: Any, make_model: Any) -> None:
    with pytest.raises(ModelError, match="are not the one_to_many layout"):
        load(make_model(ROWS, head=Head.ONE_TO_MANY))


def annotate(model: Any, text: Any, file: Any) -> None:
    onnx = pytest.importorskip("onnx")
    content = onnx.load(model)
    content.metadata_props.add(key="oneglance", value=text)
    onnx.save(content, file)


def test_metadata_that_is_not_json_is_refused(load: Any, make_model: Any, tmp_path: Path) -> None:
    annotate(make_model(ROWS, metadata=False), "{", tmp_path / "torn.onnx")
    with pytest.raises(ModelError, match="broken 'oneglance' metadata"):
        load(tmp_path / "torn.onnx")


def test_metadata_that_lacks_something_is_refused_by_its_name(
    load: Any, make_model: Any, tmp_path: Path
) -> None:
    text = '{"format": 1, "name": "a"}'
    annotate(make_model(ROWS, metadata=False), text, tmp_path / "poor.onnx")
    with pytest.raises(ModelError, match="broken 'oneglance' metadata: it lacks 'classes'"):
        load(tmp_path / "poor.onnx")


def test_a_damaged_byte_anywhere_is_no_matter_or_is_reported(
    load: Any, make_model: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = make_model(ROWS).read_bytes()
    file = tmp_path / "damaged.onnx"
    reported = []
    for place in range(0, len(content), 3):
        # No text in UTF-8 has this byte.
        file.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
        try:
            load(file)
        except ModelError as error:
            reported.append(str(error))
    assert len(reported) > len(content) / 3 / 2
    assert all("damaged.onnx" in message and "\n" not in message for message in reported)
    assert any("a text in it is not UTF-8" in message for message in reported)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("opset", "Opset 99 is under development"),
        ("ir", "Unsupported model IR version: 99"),
        ("operator", "com.mine"),
        ("half", "Protobuf parsing failed"),
    ],
)
def test_a_model_of_another_time_or_maker_is_told_without_the_librarys_own_sources(
    make_model: Any, tmp_path: Path, change: str, reason: str
) -> None:
    onnx = pytest.importorskip("onnx")
    file = make_model(ROWS)
    content = onnx.load(file)
    if change == "opset":
        content.opset_import[0].version = 99
    elif change == "ir":
        content.ir_version = 99
    elif change == "operator":
        content.opset_import.add(domain="com.mine", version=1)
        content.graph.node[0].domain, content.graph.node[0].op_type = "com.mine", "Mean"
    whole = content.SerializeToString()
    other = tmp_path / "other.onnx"
    other.write_bytes(whole[: len(whole) // 2] if change == "half" else whole)
    with pytest.raises(ModelError, match=reason) as error:
        load_engine(other)
    words = str(error.value)
    assert words.startswith(f"{other} is not an ONNX model that ONNX Runtime can load: ")
    assert "\n" not in words
    assert "onnxruntime_src" not in words
    assert words.count("other.onnx") == 1


@pytest.mark.usefixtures("openvino")
def test_openvino_names_the_operator_that_it_lacks(make_model: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    content = onnx.load(make_model(ROWS))
    content.opset_import.add(domain="com.mine", version=1)
    content.graph.node[0].domain, content.graph.node[0].op_type = "com.mine", "Mean"
    other = tmp_path / "other.onnx"
    onnx.save(content, other)
    with pytest.raises(ModelError, match=r"OpenVINO can load: .*com\.mine") as error:
        load_engine(other, engine="openvino")
    assert "src/" not in str(error.value)


def test_more_threads_than_any_machine_has_are_refused_before_they_are_started(
    make_model: Any,
) -> None:
    with pytest.raises(UsageError, match="threads must be at most 1024, not 100000"):
        load_engine(make_model(ROWS), threads=100_000)


def test_an_engine_cache_for_a_device_that_keeps_nothing_is_refused(
    make_model: Any, tmp_path: Path, oneglance: Any
) -> None:
    file = make_model(ROWS)
    with pytest.raises(UsageError, match=r"is for device tensorrt, .*, not for cpu: leave it out"):
        Detector.load(file, engine_cache=tmp_path / "kept")
    outcome = oneglance(
        *("run", "rendered:?frames=2", "--model", file, "--engine-cache", tmp_path / "kept")
    )
    assert outcome.code == 2
    assert "leave it out" in outcome.message
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"precision": ""}, "unknown precision ''"),
        ({"device": ""}, "unknown device ''"),
        (
            {"precision": "fp16"},
            r"no engine computes in fp16 on the CPU \(.*openvino on gpu or npu",
        ),
    ],
)
def test_an_empty_choice_is_none_of_ours(
    make_model: Any, choice: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        Detector.load(make_model(ROWS), **choice)  # type: ignore[arg-type]


def test_no_thread_at_all_is_refused(load: Any, make_model: Any) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        load(make_model(ROWS), threads=0)


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("opnvino", "fp32", "unknown engine 'opnvino'; did you mean 'openvino'?"),
        ("tpu", "fp32", r"unknown engine 'tpu' \(engines: onnxruntime, openvino\)"),
        ("openvino", "bf-16", "unknown precision 'bf-16'; did you mean 'bf16'?"),
        (
            "onnxruntime",
            "double",
            r"unknown precision 'double' \(precisions: fp32, bf16, int8, fp16\)",
        ),
        (
            "onnxruntime",
            "bf16",
            "onnxruntime does not compute in bf16: choose engine openvino, or precision fp32",
        ),
    ],
)
def test_an_engine_or_a_precision_that_is_not_there_is_refused(
    make_model: Any, engine: str, precision: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        load_engine(make_model(ROWS), engine=engine, precision=precision)


@pytest.mark.parametrize("engine", PRECISIONS)
def test_an_engine_reports_to_nobody_and_keeps_nothing_in_the_home(
    request: pytest.FixtureRequest, tmp_path: Path, engine: Any
) -> None:
    if engine == "openvino":
        request.getfixturevalue("openvino")
    program = f"""
from oneglance.models import Detector
from oneglance.models.engines.loading import PRECISIONS, load_engine
from oneglance.models.zoo import resolve_model
load_engine(resolve_model("road4-n"), engine={engine!r}, threads=1)
"""
    # Both would: openvino_telemetry in ~/intel, ONNX Runtime's in ~/.cache (on Linux).
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "CI": ""}
    others = {
        k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=os.sep, env=others | home, check=False
    )
    assert run.returncode == 0
    assert list(tmp_path.iterdir()) == []
