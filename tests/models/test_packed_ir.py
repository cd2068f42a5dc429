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
    with pytest.raises(ModelError, match=r"small-int8\.zip .*that OpenVINO can load"):
        load_engine(packed, engine="openvino", precision="int8")
