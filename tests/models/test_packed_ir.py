"""An OpenVINO model in one file: whole, or refused with a sentence."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from oneglance.models import packed_ir
from oneglance.models.engines.loading import load_engine
from oneglance.models.packed_ir import is_packed, pack_ir, unpack_ir
from oneglance.models.zoo import resolve_model
from oneglance.streams.errors import ModelError, UsageError


def archive(**parts: bytes) -> bytes:
    """Any ZIP archive; ``model_xml`` is model.xml."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, part in parts.items():
            opened.writestr(name.replace("_", "."), part)
    return content.getvalue()


def test_what_was_packed_comes_out_and_the_same_gives_the_same_file() -> None:
    content = pack_ir(b"<net/>", bytes(range(256)))
    assert is_packed(content)
    assert unpack_ir(content, "a.zip") == (b"<net/>", bytes(range(256)))
    assert pack_ir(b"<net/>", bytes(range(256))) == content


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK no archive", "a.zip is damaged"),
        (pack_ir(b"<net/>", b"w" * 999)[:-40], "a.zip is damaged"),
        (archive(model_xml=b"<net/>"), "an archive of model.xml and model.bin is one"),
        (archive(model_xml=b"<net/>", model_bin=b"", more_py=b""), "is not a model"),
        (archive(photo_jpg=b""), "is not a model"),
    ],
)
def test_another_or_a_damaged_archive_is_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        unpack_ir(content, "a.zip")


def test_a_flipped_byte_is_noticed() -> None:
    content = bytearray(archive(model_xml=b"<net/>", model_bin=b"weights"))
    content[content.index(b"weights")] ^= 1
    with pytest.raises(ModelError, match="is damaged"):
        unpack_ir(bytes(content), "a.zip")


def test_one_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_ir, "LARGEST_BYTES", 1 << 20)
    with pytest.raises(ModelError, match="unpacks to more than 1 MiB"):
        unpack_ir(pack_ir(b"<net/>", bytes(2 << 20)), "a.zip")


@pytest.mark.usefixtures("openvino")
def test_a_quantised_file_and_its_precision_belong_together(tmp_path: Path, model: Path) -> None:
    packed = tmp_path / "small-int8.zip"
    packed.write_bytes(pack_ir(b"<net/>", b""))
    assert resolve_model(str(packed)) == packed
    with pytest.raises(UsageError, match="choose engine openvino and precision int8"):
        load_engine(packed)
    with pytest.raises(UsageError, match="is quantised: choose precision int8, not fp32"):
        load_engine(packed, engine="openvino")
    with pytest.raises(UsageError, match="is not quantised, which precision int8 needs"):
        load_engine(model, engine="openvino", precision="int8")
    with pytest.raises(ModelError, match=r"small-int8\.zip .*that can be loaded"):
        load_engine(packed, engine="openvino", precision="int8")


GRAPH = """<?xml version="1.0"?>
<net name="a" version="11"><layers>
<layer id="0" name="w" type="Const" version="opset1"><data element_type="f32" shape="1,4"
 offset="0" size="16"/><output><port id="0" precision="FP32"><dim>1</dim><dim>4</dim></port>
</output></layer>
<layer id="1" name="r" type="Result" version="opset1"><input><port id="0" precision="FP32">
<dim>1</dim><dim>4</dim></port></input></layer></layers>
<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges></net>
"""


@pytest.mark.parametrize(
    ("graph", "weights", "reason"),
    [
        (GRAPH, b"", "Incorrect weights in bin file"),
        (GRAPH, b"cut", "Incorrect weights in bin file"),
        (GRAPH[:200], bytes(16), "mismatch|parsing"),
    ],
    ids=["weights missing", "weights cut", "graph cut"],
)
@pytest.mark.usefixtures("openvino")
def test_an_ir_that_openvino_cannot_read_is_told_in_its_words_and_not_by_its_sources(
    tmp_path: Path, graph: str, weights: bytes, reason: str
) -> None:
    packed = tmp_path / "small-int8.zip"
    packed.write_bytes(pack_ir(graph.encode(), weights))
    with pytest.raises(ModelError, match=reason) as error:
        load_engine(packed, engine="openvino", precision="int8")
    words = str(error.value)
    assert words.startswith(f"{packed} holds no OpenVINO IR that can be loaded (")
    assert words.endswith(": it is damaged or was changed. Copy or make it again")
    assert "src/" not in words
    assert "\n" not in words
