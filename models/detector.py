"""The network as users hold it: an image in, detections out."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from oneglance.models.cpus import available_cpus
from oneglance.models.decode import SUPPRESSION, ClassTable, Decoded, Suppression, decode
from oneglance.models.engines import self_check as checking
from oneglance.models.engines.auto import AUTO, choose_engine
from oneglance.models.engines.engine import Engine, device_of
from oneglance.models.engines.heap import return_freed_memory
from oneglance.models.engines.loading import DEFAULT_ENGINE, KEEPING, load_engine
from oneglance.models.engines.process_end import gate
from oneglance.models.engines.providers import CPU
from oneglance.models.letterbox import CanvasPool, as_bgr
from oneglance.models.metadata import Metadata
from oneglance.models.pixels import Planes, cut, is_planes, size_of
from oneglance.models.region import Region
from oneglance.models.sizes import smaller_inputs
from oneglance.models.tasks import ModelClass, Task, parse_tasks
from oneglance.models.zoo import DEFAULT, resolve_model
from oneglance.streams.errors import UsageError

if TYPE_CHECKING:
    import supervision as sv

DEFAULT_CONFIDENCE = 0.25


class Detector:
    """One network that finds pedestrians, cars, signs and lights in one pass.

    A detector may be called from several threads at once. It never changes an image.

    >>> import numpy as np
    >>> detector = Detector.load("road4-n", threads=1)
    >>> len(detector(np.zeros((720, 1280, 3), np.uint8)))
    0
    """

    def __init__(
        self,
        engine: Engine,
        *,
        confidence: float = DEFAULT_CONFIDENCE,
        tasks: Collection[Task] | None = None,
        region: Region | None = None,
        suppression: Suppression = SUPPRESSION,
    ) -> None:
        """Wrap a loaded engine; ``load`` is the usual door.

        Raises:
            UsageError: ``confidence`` is not in 0..1, or the model serves none of ``tasks``.
        """
        # supervision brings scipy and matplotlib: half a second that importing us should not cost.
        import supervision

        if not 0 <= confidence <= 1:
            raise UsageError(f"confidence must be between 0 and 1, not {confidence}")
        self._detections = supervision.Detections
        self._engine = engine
        self.confidence = confidence
        self.region = region
        """What of an image is looked at; None: all of it."""
        self.suppression = suppression
        """How the many boxes of an object become one; ``PLAIN_SUPPRESSION`` gives ultralytics'."""
        classes = engine.metadata.classes
        self._colours = engine.metadata.colours
        self._tasks = None if tasks is None else frozenset(tasks)
        wanted = set(Task) if self._tasks is None else self._tasks
        self._table = ClassTable(classes, wanted)
        if not self._table.allowed.any():
            served = ", ".join(dict.fromkeys(c.task.value for c in classes))
            raise UsageError(f"model {self.name} does {served}, not {', '.join(sorted(wanted))}")
        self._class_names = np.array([c.name for c in self.classes])
        self._task_names = np.array([c.task.value for c in self.classes])
        self._light = next((i for i, c in enumerate(classes) if c.name == Task.LIGHT), None)
        self._canvases = self._canvas_pool()
        self._checks = True
        self._file: Path | None = None
        self._cache: Path | None = None
        self.engine_reason = ""
        """Why this engine runs it, where ``auto`` chose; else ""."""
        self.engine_check = ""
        """What the self-check found and what it cost; "" where there was none."""

    @classmethod
    def load(  # noqa: PLR0913 - each is a user's choice
        cls,
        name_or_path: str | os.PathLike[str] = DEFAULT,
        *,
        confidence: float = DEFAULT_CONFIDENCE,
        tasks: Iterable[str] | None = None,
        threads: int | None = None,
        engine: str = DEFAULT_ENGINE,
        precision: str | None = None,
        device: str | None = None,
        engine_cache: str | os.PathLike[str] | None = None,
        self_check: bool = True,
        region: Region | str | Sequence[float] | None = None,
    ) -> Detector:
        """A detector from the zoo by name, or from an exported ONNX file by path.

        ``confidence``: boxes below it are left out. ``tasks``: only these (names or ``Task``);
        all by default. ``threads``: CPUs one inference may use; all that this process
        may use by default. ``engine``: ``onnxruntime``, ``openvino`` (an extra), an installed
        plugin's, or ``auto``: the fastest here of all that compute what they should, measured
        (``engine_reason`` says how). ``precision``: what it computes in, ``fp32`` (default; with
        ``auto``: any) or, with OpenVINO, ``bf16`` on a CPU that has it and ``int8`` of a
        quantised file. ``device``: ``cpu`` (default; with ``auto``: any), or what else the engine
        runs on, see ``oneglance engines``. ``engine_cache``: the folder in which TensorRT keeps
        what it compiled; in the user's cache by default.

        ``self_check``: look once at the reference frames that the file carries and compare.

        ``region``: look at this part of every image alone, ``"x1,y1,x2,y2"`` in pixels or in
        shares from 0 to 1; boxes are those of the whole image all the same. An image that it
        lies outside of is a ``UsageError`` when it comes.

        Raises:
            ModelError: no such model, a file that is not one of ours, or one that computes
                something else on this machine than it should.
            UsageError: an unknown task, a confidence outside 0..1, fewer than one thread, a
                region that is none, an engine or a precision that is unknown, not installed or
                not for this CPU, an engine cache for a device that keeps nothing.
        """
        parsed = None if tasks is None else parse_tasks(tasks)
        seen = None if region is None else Region.of(region)
        file = resolve_model(name_or_path)
        cache = None if engine_cache is None else Path(engine_cache)
        asked: dict[str, Any] = {"threads": threads, "cache": cache}
        # The engine first: what it holds while it loads is free again when supervision is imported.
        # The other way round, or both at once in two threads, the run takes 15 MB more.
        if engine == AUTO:
            choice = choose_engine(
                file, precision=precision, device=device, check=self_check, **asked
            )
            loaded, checked, reason = choice.engine, choice.checked, choice.reason
        else:
            where = CPU if device is None else device
            if cache is not None and where != KEEPING:
                raise UsageError(
                    f"an engine cache ({cache}) is for device {KEEPING}, which keeps what it "
                    f"compiles, not for {where}: leave it out, or choose that device"
                )
            loaded = load_engine(
                file, engine=engine, device=where, precision=precision, check=False, **asked
            )
            checked = checking.self_check(loaded, origin=str(file)) if self_check else None
            reason = ""
        return_freed_memory()
        detector = cls(loaded, confidence=confidence, tasks=parsed, region=seen)
        detector.engine_reason, detector.engine_check = reason, str(checked or "")
        detector._checks, detector._file = self_check, file.absolute()
        detector._cache = cache if detector.device == KEEPING else None
        return detector

    def smaller(self) -> tuple[Detector, ...]:
        """Detectors of the same network with smaller inputs, the largest first, loaded as this one
        was: of the files beside its own (see ``models.sizes``).

        Raises:
            ModelError: one cannot be loaded, or computes something else than it should.
        """
        if self._file is None:
            return ()
        return tuple(
            Detector.load(
                file,
                confidence=self.confidence,
                tasks=self._tasks,
                threads=self.threads,
                engine=self.engine,
                precision=self.precision,
                device=self.device,
                engine_cache=self._cache,
                self_check=self._checks,
                region=self.region,
            )
            for file in smaller_inputs(self._file, self.metadata)
        )

    def inference_s(self, times: int = 5) -> float:
        """Seconds of the quickest of so many inferences on this machine now, after one more that
        prepares."""
        width, height = self.metadata.size
        tensor = np.full((1, 3, height, width), 0.5, np.float32)
        return min(self._engine.run(tensor)[1] for _ in range(times + 1))

    def __copy__(self) -> Detector:
        """Another that shares the engine."""
        copied = Detector(self._engine, **self._asked())
        copied._checks, copied.engine_reason = self._checks, self.engine_reason
        copied.engine_check = self.engine_check
        copied._file, copied._cache = self._file, self._cache
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or deep-copied, it loads its model file anew.

        Its file must lie where it did, also on another machine, and computes there what it
        should (unless it was loaded without ``self_check``).

        Raises, when it is loaded: as ``load`` does.
        """
        return Detector._again, (self._engine, self._asked(), self._checks, self._file)

    @classmethod
    def _again(
        cls, engine: Engine, asked: dict[str, Any], checks: bool, file: Path | None
    ) -> Detector:
        checked = None
        if checks:
            origin = f"{engine.metadata.name}, sent to this process"
            checked = checking.self_check(engine, origin=origin)
        detector = cls(engine, **asked)
        detector.engine_check = str(checked or "")
        detector._checks, detector._file = checks, file
        return detector

    def _asked(self) -> dict[str, Any]:
        return {
            "confidence": self.confidence,
            "tasks": self._tasks,
            "region": self.region,
            "suppression": self.suppression,
        }

    @property
    def name(self) -> str:
        """The model's own name, from its metadata."""
        return self._engine.metadata.name

    @property
    def metadata(self) -> Metadata:
        """Everything the model file says of itself."""
        return self._engine.metadata

    @property
    def classes(self) -> tuple[ModelClass, ...]:
        """The model's classes; ``class_id`` of a detection counts in this order.

        Those of the network, then the colours that are predicted from its lights' pixels.
        """
        metadata = self._engine.metadata
        return metadata.classes + (() if metadata.colours is None else metadata.colours.classes)

    @property
    def threads(self) -> int:
        """CPUs one inference may use."""
        return self._engine.threads

    @property
    def engine(self) -> str:
        """What runs the network: ``onnxruntime`` or ``openvino``."""
        return self._engine.name

    @property
    def device(self) -> str:
        """What the network runs on: ``cpu``, ``cuda``, …"""
        return device_of(self._engine)

    @property
    def precision(self) -> str:
        """What the network is computed in: ``fp32`` or ``bf16``."""
        return self._engine.precision

    def __call__(self, image: npt.NDArray[np.uint8]) -> sv.Detections:
        """What is in ``image`` (H×W×3 BGR uint8; grey and BGRA are taken too).

        Returns ``supervision.Detections``, best first: ``xyxy`` float32 in pixels of ``image``,
        ``confidence`` in 0..1, ``class_id``, ``data["class_name"]``, ``data["task"]``.

        Raises:
            UsageError: not an 8-bit image, or one that the region lies outside of.
        """
        return self.detect(image)[0]

    def takes_planes(self, size: tuple[int, int]) -> bool:
        """Whether ``detect`` had rather have a decoder's planes of an image of that size (width,
        height): of one that is made smaller. Boxes are the same but for rounding."""
        if self.region is not None:
            x1, y1, x2, y2 = self.region.pixels(size)
            size = x2 - x1, y2 - y1
        target = self._engine.metadata.size
        return size[0] > target[0] or size[1] > target[1]

    def detect(
        self, image: npt.NDArray[np.uint8] | Planes
    ) -> tuple[sv.Detections, dict[str, float]]:
        """As a call, and the seconds of ``preprocess``, ``inference`` and ``postprocess``.

        ``image`` may be a decoder's planes, as ``Frame.yuv`` gives them, too.
        """
        with gate.working():
            return self._detect(image)

    def _detect(
        self, image: npt.NDArray[np.uint8] | Planes
    ) -> tuple[sv.Detections, dict[str, float]]:
        with self._canvases.borrowed() as canvas:
            started = time.perf_counter()  # waiting for a canvas is no stage
            image, corner = self._looked_at(image if is_planes(image) else as_bgr(image))
            tensor, geometry = canvas.fill(image)
            prepared = time.perf_counter()
            output, inference_s = self._engine.run(tensor)
            inferred = time.perf_counter()
        decoded = decode(
            output,
            self._engine.metadata.head,
            confidence=self.confidence,
            table=self._table,
            suppression=self.suppression,
        )
        xyxy = geometry.to_source(decoded.xyxy)
        self._assign_colours(image, decoded.class_id, xyxy)
        if corner is not None:
            xyxy += corner
        detections = self._wrap(decoded, xyxy)
        return detections, {
            "preprocess": prepared - started,
            "inference": inference_s,
            "postprocess": time.perf_counter() - inferred,
        }

    def _looked_at(
        self, image: npt.NDArray[np.uint8] | Planes
    ) -> tuple[npt.NDArray[np.uint8] | Planes, npt.NDArray[np.float32] | None]:
        """The region's pixels, and what its boxes must be moved by: x y x y."""
        if self.region is None:
            return image, None
        box = self.region.pixels(size_of(image))
        return cut(image, box), np.array(box[:2] * 2, np.float32)

    def _assign_colours(
        self,
        image: npt.NDArray[np.uint8] | Planes,
        class_id: npt.NDArray[np.int64],
        xyxy: npt.NDArray[np.float32],
    ) -> None:
        """Turn lights into lights of a colour, in place, where their pixels show it."""
        if self._colours is None or self._light is None:
            return
        lights = np.flatnonzero(class_id == self._light)
        first = len(self._engine.metadata.classes)
        for light, colour in zip(lights, self._colours.predict(image, xyxy[lights]), strict=True):
            if colour is not None:
                class_id[light] = first + colour

    def _canvas_pool(self) -> CanvasPool:
        """On the CPU with a canvas for each inference that has one to run on, and at least two:
        while one is computed another is made."""
        on_cpu = self.device == CPU
        most = max(2, available_cpus() // self.threads) if on_cpu else None
        return CanvasPool(self._engine.metadata.size, most)

    def _wrap(self, decoded: Decoded, xyxy: npt.NDArray[np.float32]) -> sv.Detections:
        return self._detections(
            xyxy=xyxy,
            confidence=decoded.confidence,
            class_id=decoded.class_id,
            data={
                "class_name": self._class_names[decoded.class_id],
                "task": self._task_names[decoded.class_id],
            },
        )
