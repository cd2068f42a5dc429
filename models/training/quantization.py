"""Post-training quantisation to int8, by NNCF, for the engine that gains by it: OpenVINO.

The detection head stays in float: with it quantised, road4-n loses 3 to 14 points of mAP50-95;
without, up to 1.2 on small sets. Where that does not pass the accuracy gate, more stays in float,
see ``float_layers``. Weights of the first layer keep to seven bits (NNCF's fix of overflows), for
CPUs without VNNI, whose sums of products saturate; in all layers they cost more.

The same quantisation as ONNX (QDQ) is right in ONNX Runtime, but slower there than its fp32, and
in OpenVINO it finds nothing. So a file of OpenVINO's own is written, see ``packed_ir``.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oneglance.models.detector import Detector
from oneglance.models.engines.accuracy_gate import GATE, QUANTIZATION, Gate, GateRow, record
from oneglance.models.engines.loading import load_engine
from oneglance.models.engines.openvino import METADATA, STATISTICS, import_openvino
from oneglance.models.letterbox import Canvas, as_bgr
from oneglance.models.metadata import Metadata
from oneglance.models.model_file import read_model_file
from oneglance.models.packed_ir import is_packed, pack_ir
from oneglance.models.training.data.checks import check_images
from oneglance.models.training.data.datasets import Dataset
from oneglance.models.training.data.images import read_image
from oneglance.models.training.data.labels import refuse
from oneglance.models.training.evaluation.coco import EVALUATION_CONFIDENCE, Detected, detect
from oneglance.models.training.evaluation.gate import compare
from oneglance.models.training.float_layers import Kept, operators_in_float, steps
from oneglance.streams.errors import DataError, UsageError
from oneglance.streams.outputs import write_file

CALIBRATION_FRAMES = 300
"""What the ranges of activations are taken from; NNCF's own default."""

LEAST_FRAMES = 8


Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Quantised:
    """A quantised model: the ``content`` of its file, and how it compares with its original.

    ``kept``: what of it stays in float. ``refused``: those with less in float that were tried
    before, and did not pass the gate.
    """

    content: bytes
    rows: tuple[GateRow, ...]
    problems: tuple[str, ...]
    """Why it must not be used, a line each; empty where it passed the gate."""

    kept: Kept = Kept.HEAD
    refused: tuple[Quantised, ...] = ()


def quantize(
    file: Path,
    datasets: Sequence[Dataset],
    *,
    images: Iterable[Image] = (),
    frames: int = CALIBRATION_FRAMES,
    gate: Gate | None = None,
    first: Kept = Kept.HEAD,
) -> Quantised:
    """``file`` (a float ONNX model of ours) in int8, calibrated and held to ``gate``.

    Tried with what ``first`` says in float, then with more, until one passes; the last one where
    none does.

    ``datasets``: ranges are taken from their train images, ``frames`` of all together, and the
    gate is run on their val images. ``images``: H×W×3 BGR uint8 frames to calibrate with, too.

    Raises:
        DataError: a set has no train or val images, or labels none of the model's tasks; no val
            image has a box to compare by; or there are too few frames to calibrate with.
        ModelError: not a float model of ours, one without a known detection head, or the quantised
            one computes something else than it should.
        UsageError: NNCF or OpenVINO is not installed, or there is no set for the gate.
    """
    gate = Gate() if gate is None else gate
    if not datasets:
        raise UsageError("the accuracy gate needs labelled images: give a data set (--data)")
    nncf = import_nncf()
    if is_packed(read_model_file(file)):
        raise UsageError(f"{file} is quantised already: give the float model that it was made from")
    engine = load_engine(file, engine="openvino")
    before = _detections(Detector(engine, confidence=EVALUATION_CONFIDENCE), datasets)
    _refuse_empty_gate(before, datasets)
    tensors = list(_tensors(engine.metadata, datasets, images, frames))
    refused: list[Quantised] = []
    for kept in steps(first):
        how: dict[str, Any] = {
            "precision": "int8",
            "by": f"nncf {nncf.__version__}",
            "float": str(kept),
            "refused": [{"float": str(each.kept), **record(gate, each.rows)} for each in refused],
            "calibration": {
                "frames": len(tensors),
                "data": [str(dataset.file) for dataset in datasets],
            },
        }
        model = _quantised(nncf, file, tensors, kept)
        unproven = _content(model, _described(engine.metadata, how))
        after = _detections_of(unproven, file.stem, datasets)
        rows = [
            row
            for dataset, *found in zip(datasets, before, after, strict=True)
            for row in compare(_set_name(dataset.file), *found)
        ]
        how[GATE] = record(gate, rows)
        content = _content(model, _described(engine.metadata, how))
        last = Quantised(content, tuple(rows), gate.judge(rows), kept, tuple(refused))
        if not last.problems:
            break
        refused.append(last)
    return last


def _quantised(nncf: Any, file: Path, tensors: list[Any], kept: Kept) -> Any:
    model = _read(file)
    # The first layer is the one whose sums saturate: its input fills the whole range.
    overflow = nncf.OverflowFix.FIRST_LAYER if kept is Kept.HEAD else nncf.OverflowFix.DISABLE
    with _quiet():
        return nncf.quantize(
            model,
            nncf.Dataset(tensors),
            subset_size=len(tensors),
            preset=nncf.QuantizationPreset.MIXED,  # what SiLU gives is not symmetric
            # Layer by layer, each behind those that are corrected: minutes more than NNCF's quick
            # way, with which road4-n passes the gate at no setting.
            fast_bias_correction=False,
            ignored_scope=nncf.IgnoredScope(names=operators_in_float(model, kept, origin=file)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=overflow,
                activations_range_estimator_params=_ranges(),
            ),
        )


def _detections_of(content: bytes, name: str, datasets: Sequence[Dataset]) -> list[Detected]:
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / f"{name}-int8.zip"
        write_file(packed, content)
        loaded = load_engine(packed, engine="openvino", precision="int8", check=False)
        return _detections(Detector(loaded, confidence=EVALUATION_CONFIDENCE), datasets)


def import_nncf() -> Any:
    """The package ``nncf``, without the statistics that it would send, and silent.

    Raises:
        UsageError: it is not installed.
    """
    import_openvino()
    silenced = STATISTICS not in sys.modules
    if silenced:
        sys.modules[STATISTICS] = None  # type: ignore[assignment]  # "not to be found"
    loggers = logging.getLoggerClass()
    try:
        import nncf
    except ImportError as error:
        raise UsageError(
            f"quantize needs NNCF ({error}): pip install 'oneglance[quantize]' "
            "(from a clone: pip install '.[quantize]')"
        ) from None
    finally:
        # It makes its own class that of all loggers to come, and those tell their parents nothing.
        logging.setLoggerClass(loggers)
        if silenced:
            sys.modules.pop(STATISTICS, None)
    logging.getLogger("nncf").setLevel(
        logging.ERROR
    )  # nncf.set_log_level sets handlers that others share
    return nncf


def _ranges() -> Any:
    """Activations from the mean of the frames' least to the mean of their largest, frames that
    stand out left out: of NNCF's estimators the one with the least error in scores on road4-n."""
    sets = importlib.import_module("nncf.quantization.range_estimator")
    return sets.RangeEstimatorParametersSet.MEAN_NO_OUTLIERS_MINMAX


@contextmanager
def _quiet() -> Iterator[None]:
    """NNCF shows its progress on standard output: it belongs on a terminal's standard error."""
    seen = sys.stderr is not None and sys.stderr.isatty()
    with redirect_stdout(sys.stderr if seen else io.StringIO()):
        yield


def _set_name(file: Path) -> str:
    return file.parent.name if file.stem == "data" else file.stem


def _detections(detector: Detector, datasets: Sequence[Dataset]) -> list[Detected]:
    return [detect(detector, dataset) for dataset in datasets]


def _refuse_empty_gate(found: Sequence[Detected], datasets: Sequence[Dataset]) -> None:
    """Refuse sets on which nothing could fail: the gate compares average precision."""
    if not any(row for each in found for row in compare("", each, each)):
        raise DataError(
            f"{', '.join(str(dataset.file) for dataset in datasets)}: the accuracy gate has "
            "nothing to compare: not one box of a task labelled completely in the val images"
        )


def _tensors(
    metadata: Metadata, datasets: Sequence[Dataset], images: Iterable[Image], frames: int
) -> Iterator[npt.NDArray[np.float32]]:
    """What the network is calibrated with: ``frames`` train images, evenly from all sets, and all
    of ``images``.

    Raises:
        DataError: an image cannot be read, or there are too few.
    """
    canvas, count = Canvas(metadata.size), 0
    for image in chain(_train_images(datasets, frames), images):
        count += 1
        yield canvas.fill(as_bgr(image))[0].copy()
    if count < LEAST_FRAMES:
        raise DataError(
            f"{count} frames are too few to calibrate with: {LEAST_FRAMES} are the least, "
            f"{CALIBRATION_FRAMES} are usual"
        )


def _train_images(datasets: Sequence[Dataset], frames: int) -> Iterator[Image]:
    for dataset in datasets:
        files = dataset.images("train")
        share = min(len(files), max(1, frames // len(datasets)))
        chosen = [files[i] for i in np.linspace(0, len(files) - 1, share).round().astype(int)]
        refuse([problem for wrong in check_images(dataset, chosen) for problem in wrong])
        yield from map(read_image, chosen)


def _read(file: Path) -> Any:
    """The model for NNCF, its operators fused as OpenVINO itself fuses them when it compiles.

    As it is read, a convolution's bias goes through a reshape, and NNCF, which looks for a
    constant, corrects none; and SiLU is a sigmoid and a product, before, between and after which
    NNCF rounds, where OpenVINO computes convolution and SiLU in one step. Biases cost up to two
    points of mAP50-95, SiLU a quarter more error in scores and 1.6 of 13.5 ms.
    """
    model = import_openvino().Core().read_model(read_model_file(file), b"")
    # What ``openvino.convert_model`` does, which takes no bytes; NNCF uses this module, too.
    importlib.import_module("openvino._offline_transformations").apply_moc_transformations(
        model,
        True,
    )
    return model


def _described(metadata: Metadata, how: dict[str, Any]) -> str:
    """The text of the metadata, with ``how`` it was quantised in its training facts."""
    training = {**metadata.training, QUANTIZATION: how}
    return dataclasses.replace(metadata, training=training).to_json()


def _content(model: Any, metadata: str) -> bytes:
    """The file of a quantised model."""
    model.set_rt_info(metadata, list(METADATA))
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.xml"
        import_openvino().save_model(model, graph, compress_to_fp16=False)
        return pack_ir(graph.read_bytes(), graph.with_suffix(".bin").read_bytes())
