"""Weights of other people's making: what is no network, and what would run code, is refused."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path, PosixPath
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.heads import from_scratch
from oneglance.streams.errors import ModelError

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # ultralytics and torch warn of themselves
    pytest.mark.usefixtures("one_thread"),
]


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("saved", ["by torch", "beside a network", "by pickle"])
def test_code_in_a_file_is_never_run(tmp_path: Path, coco_base: Path, saved: str) -> None:
    mark, file = tmp_path / "executed", tmp_path / "trap.pt"
    if saved == "by torch":
        torch.save({"model": Trap(mark)}, file)
    elif saved == "beside a network":
        content = torch.load(coco_base, weights_only=False)
        torch.save({**content, "date": Trap(mark)}, file)
    else:
        file.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(ModelError, match=r"trap\.pt is not a YOLO checkpoint: .*"):
        read_checkpoint(file)
    assert not mark.exists()
    torch.load(file, weights_only=False) if saved != "by pickle" else pickle.loads(
        file.read_bytes()
    )
    assert mark.exists()  # the trap was a trap


def test_what_would_have_run_is_named(tmp_path: Path) -> None:
    torch.save({"model": Trap(tmp_path / "executed")}, tmp_path / "trap.pt")
    with pytest.raises(ModelError, match=r"would run (posix|nt)\.system; refused unread"):
        read_checkpoint(tmp_path / "trap.pt")


def test_a_checkpoint_is_read_whole(coco_base: Path) -> None:
    model = read_checkpoint(coco_base)
    expected = torch.load(coco_base, weights_only=False)["model"].float().state_dict()
    found = model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert not model.training
    assert model.names[9] == "traffic light"


def test_a_path_among_the_training_arguments_is_harmless(tmp_path: Path, coco_base: Path) -> None:
    content = torch.load(coco_base, weights_only=False)
    args = {**content["train_args"], "save_dir": PosixPath("runs/detect/train")}
    torch.save({**content, "train_args": args}, tmp_path / "old.pt")
    assert read_checkpoint(tmp_path / "old.pt").names[9] == "traffic light"


def test_a_path_of_windows_is_harmless_elsewhere(tmp_path: Path, coco_base: Path) -> None:
    content = torch.load(coco_base, weights_only=False)
    torch.save({**content, "save_dir": PosixPath("runs")}, tmp_path / "posix.pt")
    # The same pickle, said to be of Windows: the two names are not equally long, so a pickle of
    # protocol 2 with its text names is rewritten, length byte and all.
    windows = tmp_path / "windows.pt"
    with (
        zipfile.ZipFile(tmp_path / "posix.pt") as given,
        zipfile.ZipFile(windows, "w") as written,
    ):
        for entry in given.namelist():
            data = given.read(entry)
            if entry.endswith("data.pkl"):
                assert b"cpathlib\nPosixPath\n" in data
                data = data.replace(b"cpathlib\nPosixPath\n", b"cpathlib\nWindowsPath\n")
            written.writestr(entry, data)
    assert read_checkpoint(windows).names[9] == "traffic light"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no pretrained weights .*none\.pt"):
        read_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "torch did not write it, or it is cut short"),
        (b"hello", "torch did not write it, or it is cut short"),
        ({"epoch": 3}, "holds no network, not a YOLO detection network"),
        ([1, 2], "is not a YOLO checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: object, message: str) -> None:
    file = tmp_path / "odd.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(ModelError, match=message):
        read_checkpoint(file)


def test_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Conv2d(3, 3, 1)}, tmp_path / "conv.pt")
    with pytest.raises(ModelError, match="holds Conv2d, not a YOLO detection network"):
        read_checkpoint(tmp_path / "conv.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["model.0.conv.weight", "model.0.bn.running_var"])
def test_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, coco_base: Path, name: str, value: float
) -> None:
    content = torch.load(coco_base, weights_only=False)
    content["model"].state_dict()[name].view(-1)[3] = value
    torch.save(content, tmp_path / "diverged.pt")
    with pytest.raises(ModelError, match=rf"of its weights, {name} is not finite"):
        read_checkpoint(tmp_path / "diverged.pt")


NAMES = {0: "pedestrian", 1: "car", 2: "sign", 3: "light"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A checkpoint of four classes, to be changed."""
    torch.manual_seed(0)
    model = from_scratch(FOUR_TASKS).as_ultralytics()
    file = tmp_path_factory.mktemp("small") / "small.pt"
    torch.save({"model": model}, file)
    return file


def _changed(small: Path, file: Path, **attributes: Any) -> Path:
    content = torch.load(small, weights_only=False)
    vars(content["model"]).update(attributes)
    torch.save(content, file)
    return file


@pytest.mark.parametrize("names", [[*NAMES.values()], dict(reversed(NAMES.items()))])
def test_names_are_those_of_the_outputs_in_whatever_order_they_stand(
    small: Path, tmp_path: Path, names: Any
) -> None:
    model = read_checkpoint(_changed(small, tmp_path / "a.pt", names=names))
    assert [*model.names.items()] == [*NAMES.items()]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        *(
            ({"names": names}, rf"has 4 classes and {count} names for them, or not numbered from 0")
            for names, count in (
                *((None, 0), ({}, 0), ({0: "car"}, 1), (NAMES | {4: "car"}, 5)),
                *(({1: "car", 2: "sign", 3: "light", 4: "pedestrian"}, 4), (["car"], 1)),
            )
        ),
        ({"names": NAMES | {2: 3}}, "names a class 3, which is no text"),
        *(
            ({"stride": stride}, "does not say which strides and layers it has")
            for stride in (None, torch.zeros(3), torch.tensor([4.0, 8.0, 16.0]), 32)
        ),
        ({"yaml": None}, "does not say which strides and layers it has"),
    ],
)
def test_a_network_that_does_not_say_what_its_outputs_mean_is_refused(
    small: Path, tmp_path: Path, attributes: Any, message: str
) -> None:
    file = _changed(small, tmp_path / "odd.pt", **attributes)
    with pytest.raises(ModelError, match=rf"odd\.pt {message}"):
        read_checkpoint(file)


def test_a_checkpoint_cut_short_is_refused(tmp_path: Path, coco_base: Path) -> None:
    content = coco_base.read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cut short"):
        read_checkpoint(tmp_path / "cut.pt")


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_checkpoint_with_a_wrong_byte_is_refused(
    tmp_path: Path, coco_base: Path, place: float
) -> None:
    content = bytearray(coco_base.read_bytes())
    content[round(len(content) * place)] ^= 0x40
    (tmp_path / "flipped.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"flipped\.pt is not a YOLO checkpoint: .* damaged"):
        read_checkpoint(tmp_path / "flipped.pt")


@pytest.mark.parametrize("name", ["yolov5n.pt", "yolov3.pt", "yolo26n.pt"])
def test_a_name_that_ultralytics_knows_is_the_file_that_lies_there(
    tmp_path: Path, coco_base: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.utils import downloads

    def download(*words: Any, **how: Any) -> None:
        raise AssertionError(f"would download {words}")

    monkeypatch.setattr(downloads, "safe_download", download)
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(coco_base.read_bytes())
    assert len(read_checkpoint(Path(name)).names) > 0
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"does not end in \.pt"):
        read_checkpoint(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("kind", "file", "what"),
    [
        ("SegmentationModel", "yolo26n-seg.yaml", "a segmentation network"),
        ("SegmentationModel", "yolo11n-seg.yaml", "a segmentation network"),
        ("PoseModel", "yolo26n-pose.yaml", "a pose network"),
        ("OBBModel", "yolo11n-obb.yaml", "a network for turned boxes"),
        ("ClassificationModel", "yolo11n-cls.yaml", "a classification network"),
        ("WorldModel", "yolov8s-worldv2.yaml", "a YOLO-World network"),
        ("YOLOEModel", "yoloe-11s.yaml", "a YOLOE network"),
        ("RTDETRDetectionModel", "rtdetr-l.yaml", "an RT-DETR network"),
    ],
)
def test_a_network_for_something_else_is_refused_and_named(
    tmp_path: Path, kind: str, file: str, what: str
) -> None:
    from ultralytics.nn import tasks

    model = getattr(tasks, kind)(file, verbose=False)
    model.criterion = None
    torch.save({"model": model.half(), "train_args": {}}, tmp_path / "base.pt")
    with pytest.raises(ModelError, match=rf"base\.pt holds {what}.*: only YOLO detection"):
        read_checkpoint(tmp_path / "base.pt")


@pytest.mark.parametrize("file", ["yolov5nu", "yolov8n", "yolov10n", "yolo11n", "yolo12n"])
def test_detection_networks_of_any_age_are_read(tmp_path: Path, file: str) -> None:
    from ultralytics.nn.tasks import DetectionModel

    model = DetectionModel(file.replace("nu", "n") + ".yaml", verbose=False)
    torch.save({"model": model.half(), "train_args": {}}, tmp_path / "base.pt")
    assert isinstance(read_checkpoint(tmp_path / "base.pt"), DetectionModel)
