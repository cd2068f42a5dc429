"""An OpenVINO model as one file: its IR, ``model.xml`` and ``model.bin``, in a ZIP archive.

Quantised models are kept so: OpenVINO computes something else from the same quantisation written
as ONNX (see ``engines.self_check``), and a model here is one file that describes itself. Unpacked,
any program with OpenVINO runs it.
"""

from __future__ import annotations

import io
import zipfile
import zlib

from oneglance.streams.errors import ModelError

SUFFIX = ".zip"

GRAPH, WEIGHTS = "model.xml", "model.bin"

LARGEST_BYTES = 1 << 30
"""Of either part: a small archive may unpack to anything."""

_TIME = (1980, 1, 1, 0, 0, 0)


def pack_ir(graph: bytes, weights: bytes) -> bytes:
    """The archive of an IR; the same for the same."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in ((GRAPH, graph), (WEIGHTS, weights)):
            archive.writestr(zipfile.ZipInfo(name, _TIME), part, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def unpack_ir(content: bytes, origin: str) -> tuple[bytes, bytes]:
    """Graph and weights of an archive; ``origin`` names the file in errors.

    Raises:
        ModelError: it is no such archive, or damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            if sorted(sizes) != [WEIGHTS, GRAPH]:
                raise ModelError(
                    f"{origin} is not a model: an archive of {GRAPH} and {WEIGHTS} is one"
                )
            if max(sizes.values()) > LARGEST_BYTES:
                raise ModelError(f"{origin} unpacks to more than {LARGEST_BYTES >> 20} MiB")
            return archive.read(GRAPH), archive.read(WEIGHTS)  # checksums are compared
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{origin} is damaged ({error}): copy or make it again") from None


def is_packed(content: bytes) -> bool:
    """Whether a file's content is an archive; an ONNX file's is not."""
    return content.startswith(b"PK")
