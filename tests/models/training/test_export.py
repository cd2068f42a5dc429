"""A network as an ONNX file: the same predictions, everything a runtime needs in it, or no file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")
onnx = pytest.importorskip("onnx", reason="needs the 'train' extra")
pytest.importorskip("onnxslim", reason="needs the 'train' extra")

from oneglance.models import Detector
from oneglance.models.metadata import Head, read_metadata
from oneglance.models.tasks import CLASSES as OURS
from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS, ModelClass, Task
from oneglance.models.training import export as exporting
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.export import Parity, export
from oneglance.models.training.fit.heads import from_scratch, last_layer
from oneglance.models.training.recipe import training_facts
from oneglance.streams.errors import ModelError, SinkError, UsageError

from .conftest import awaken

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # ultralytics and torch warn of themselves
    pytest.mark.usefixtures("one_thread"),
]

SIZE = (96, 64)
CLASSES = (*FOUR_TASKS, *LIGHT_COLOURS)


def save(file: Path, classes: tuple[ModelClass, ...] = CLASSES) -> Path:
    """A network that was never trained but predicts loudly: its scores lie about one half."""
    torch.manual_seed(1)
    model = from_scratch(classes).as_ultralytics()
    head = last_layer(model)
    for branch in (*head.cv3, *head.one2one_cv3):
        torch.nn.init.normal_(branch[-1].weight, std=0.3)
        torch.nn.init.zeros_(branch[-1].bias)
    awaken(model)
    torch.save({"model": model, "train_args": {}}, file)
    return file


@pytest.fixture(scope="module")
def weights(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights") / "model.pt")


def test_a_file_of_some_classes_scores_them_as_the_whole_network_does(
    weights: Path, tmp_path: Path
) -> None:
    export(weights, tmp_path / "whole.onnx", name="whole", size=SIZE)
    export(weights, tmp_path / "four.onnx", name="four", size=SIZE, only=FOUR_TASKS)
    image = np.random.default_rng(1).random((1, 3, SIZE[1], SIZE[0]), np.float32)
    whole, four = (
        ort.InferenceSession(tmp_path / f"{name}.onnx", providers=["CPUExecutionProvider"]).run(
            None, {"images": image}
        )[0]
        for name in ("whole", "four")
    )
    assert four.shape[1] == 8
    np.testing.assert_allclose(four, whole[:, :8], rtol=1e-4, atol=1e-4)
    assert Detector.load(tmp_path / "four.onnx").classes == FOUR_TASKS


def test_a_class_that_was_never_trained_cannot_be_exported(weights: Path, tmp_path: Path) -> None:
    only = [ModelClass("sign_danger", Task.SIGN)]
    with pytest.raises(ModelError, match="does not know sign_danger, only pedestrian, car"):
        export(weights, tmp_path / "out.onnx", name="out", size=SIZE, only=only)
    assert not (tmp_path / "out.onnx").exists()


@pytest.fixture(scope="module")
def exported(
    weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Head], tuple[Path, Parity]]:
    """The file of one head and its parity, exported once."""
    folder = tmp_path_factory.mktemp("exported")
    made: dict[Head, tuple[Path, Parity]] = {}

    def make(head: Head) -> tuple[Path, Parity]:
        if head not in made:
            out = folder / "deep" / f"{head}.onnx"
            facts = {"epochs": 3, "data": ["gtsdb"]}
            parity = export(weights, out, name="tiny", size=SIZE, head=head, training=facts)
            made[head] = out, parity
        return made[head]

    return make


@pytest.mark.parametrize("head", Head)
def test_the_file_predicts_as_torch_does(
    exported: Callable[[Head], tuple[Path, Parity]], weights: Path, head: Head
) -> None:
    file, parity = exported(head)
    assert parity.holds
    model = read_checkpoint(weights)
    last_layer(model).end2end = head is Head.ONE_TO_ONE
    image = np.random.default_rng(7).random((1, 3, SIZE[1], SIZE[0]), np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(image))[0].numpy()[0]
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": image})[0][0]
    assert found.shape == expected.shape
    if head is Head.ONE_TO_ONE:
        # Near-equal scores may change places: compare the scores in their order.
        np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=1e-3)
    else:
        assert found.shape == (4 + len(CLASSES), 96 * 64 // 64 + 96 * 64 // 256 + 96 * 64 // 1024)
        np.testing.assert_allclose(found[:4], expected[:4], atol=0.05)
        np.testing.assert_allclose(found[4:], expected[4:], atol=1e-3)
    scores = found[:, 4] if head is Head.ONE_TO_ONE else found[4:]
    assert scores.std() > 0.01  # an answer that could have been wrong


@pytest.mark.parametrize("head", Head)
def test_the_file_tells_everything_that_running_it_needs(
    exported: Callable[[Head], tuple[Path, Parity]], head: Head
) -> None:
    file, _ = exported(head)
    properties = {p.key: p.value for p in onnx.load(file).metadata_props}
    metadata = read_metadata(properties, "tiny.onnx")
    assert (metadata.name, metadata.size, metadata.head) == ("tiny", SIZE, head)
    assert metadata.classes == CLASSES
    assert metadata.training == {"epochs": 3, "data": ["gtsdb"]}
    # ultralytics' own tools read these.
    assert properties["imgsz"] == "[64, 96]"
    assert properties["end2end"] == str(head is Head.ONE_TO_ONE)


@pytest.mark.parametrize("head", Head)
def test_the_detector_runs_the_file(
    exported: Callable[[Head], tuple[Path, Parity]], head: Head
) -> None:
    file, _ = exported(head)
    detector = Detector.load(file, confidence=0.01, threads=1)
    found = detector(np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8))
    assert detector.name == "tiny"
    assert 0 < len(found) <= 300
    assert set(found.data["task"]) <= {task.value for task in Task}
    assert found.xyxy.min() >= 0
    assert found.xyxy[:, 0::2].max() <= 200
    assert found.xyxy[:, 1::2].max() <= 120


@pytest.mark.parametrize(
    "fault", [lambda w: (w * 8).round() / 8, lambda w: w * np.float32("nan")], ids=["coarse", "nan"]
)
def test_no_file_is_left_when_the_predictions_differ(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Any], Any]
) -> None:
    real = exporting._trace

    def faulty(model: Any, size: tuple[int, int]) -> Any:
        """What an exporter with a fault in its weights would give."""
        graph = real(model, size)
        for tensor in graph.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.ndim == 4:
                changed = fault(values).astype(np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
        return graph

    monkeypatch.setattr(exporting, "_trace", faulty)
    out = tmp_path / "out.onnx"
    with pytest.raises(ModelError, match=r"differs from torch by .* px and .*: not written"):
        export(weights, out, name="faulty", size=(64, 32))
    assert not out.exists()


def test_a_difference_beyond_either_bound_does_not_hold() -> None:
    assert Parity(0.05, 1e-3).holds
    assert not Parity(0.051, 0).holds
    assert not Parity(0, 1.1e-3).holds


def test_weights_without_a_class_of_ours_are_refused(coco_base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="class 'bicycle' serves none of our tasks"):
        export(coco_base, tmp_path / "out.onnx", name="coco", size=SIZE)


def test_weights_that_are_no_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.pt").write_text("hello")
    with pytest.raises(ModelError, match=r"odd\.pt is not a YOLO checkpoint"):
        export(tmp_path / "odd.pt", tmp_path / "out.onnx", name="odd", size=SIZE)
    assert not (tmp_path / "out.onnx").exists()


def test_an_output_that_cannot_be_written_is_named_and_nothing_is_left(
    weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"cannot write .*out\.onnx: .*file is not a folder"):
        export(weights, tmp_path / "file" / "out.onnx", name="out", size=SIZE)
    (tmp_path / "taken.onnx").mkdir()
    with pytest.raises(SinkError, match=r"cannot write .*taken\.onnx: it is a folder"):
        export(weights, tmp_path / "taken.onnx", name="taken", size=SIZE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.onnx"]


def test_the_weights_are_never_written_over(weights: Path, tmp_path: Path) -> None:
    before = weights.read_bytes()
    (tmp_path / "link.onnx").symlink_to(weights)
    with pytest.raises(SinkError, match=r"which is read; give another name"):
        export(weights, tmp_path / "link.onnx", name="out", size=SIZE)
    assert weights.read_bytes() == before


def test_the_facts_of_a_training_are_kept_without_its_folders(tmp_path: Path) -> None:
    recipe = {"run": {"data": ["/home/somebody/sets/gtsdb/data.yaml"]}, "device": "cpu"}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    facts = training_facts(tmp_path / "model.pt")
    assert facts == {"run": {"data": ["gtsdb"]}, "device": "cpu"}
    assert training_facts(tmp_path / "elsewhere" / "model.pt") == {}


def test_the_program_prints_the_proof(
    weights: Path, tmp_path: Path, oneglance: Callable[..., Any]
) -> None:
    out = tmp_path / "a.onnx"
    outcome = oneglance("export", weights, "--out", out, "--size", "64x32", "--head", "both")
    assert outcome.code == 2
    assert "'both' is not one of 'one_to_one'," in outcome.err
    outcome = oneglance("export", weights, "--out", out, "--size", "64x32")
    assert outcome.code == 0, outcome.err
    words = " ".join(outcome.out.split())
    assert "largest difference from torch 0.0" in words
    assert "(allowed: 0.05 px, 0.001)" in words
    assert Detector.load(out).name == "a"


def test_colours_are_assigned_to_lights_and_kept_in_the_file(
    weights: Path, tmp_path: Path, make_set: Callable[..., Path], oneglance: Callable[..., Any]
) -> None:
    boxes = {"a": "0 0.5 0.5 0.2 0.5", "b": "1 0.4 0.5 0.2 0.5"}
    data = make_set("lights", train=boxes, names={0: "light_red", 1: "light_green"})
    out = tmp_path / "a.onnx"
    words = ("export", weights, "--out", out, "--size", "64x32", "--colours", data)
    outcome = oneglance(*words)
    assert outcome.code == 2
    assert "colours are assigned to a network's lights" in outcome.message
    outcome = oneglance(*words, "--classes", "car,light")
    assert outcome.code == 0, outcome.err
    assert [cls.name for cls in Detector.load(out).classes] == [
        "car",
        "light",
        "light_red",
        "light_green",
    ]


def test_the_real_backbone_keeps_its_predictions(shared: Path, tmp_path: Path) -> None:
    from oneglance.models.training.fit.heads import with_new_last_layer

    base = read_checkpoint(shared / "weights" / "yolo26n-coco.pt")
    file = tmp_path / "model.pt"
    torch.save(
        {"model": with_new_last_layer(base, FOUR_TASKS).as_ultralytics(), "train_args": {}}, file
    )
    parity = export(file, tmp_path / "road.onnx", name="road", size=(160, 96))
    assert parity.holds


def own_network(folder: Path, *names: str) -> Path:
    """A user's own best.pt, for classes of those names."""
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(1)
    model = DetectionModel("yolo11n.yaml", nc=len(names), verbose=False)
    model.names = dict(enumerate(names))
    awaken(model)
    torch.save({"model": model.half(), "train_args": {}}, folder / "best.pt")
    return folder / "best.pt"


def test_classes_that_are_not_asked_for_are_dropped_whatever_they_are(tmp_path: Path) -> None:
    weights = own_network(tmp_path, "bike", "person", "traffic sign", "car", "van")
    out = tmp_path / "out.onnx"
    only = [OURS[name] for name in ("car", "pedestrian", "sign")]
    with pytest.raises(ModelError, match="class 'bike' serves none of our tasks; --classes says"):
        export(weights, out, name="own", size=SIZE)
    export(weights, out, name="own", size=SIZE, only=only)
    assert list(Detector.load(out).classes) == only
    image = np.random.default_rng(1).random((1, 3, SIZE[1], SIZE[0]), np.float32)
    (found,) = ort.InferenceSession(out, providers=["CPUExecutionProvider"]).run(
        None, {"images": image}
    )
    with torch.no_grad():
        expected = read_checkpoint(weights)(torch.from_numpy(image))[0].numpy()
    np.testing.assert_allclose(found, expected[:, [0, 1, 2, 3, 7, 5, 6]], rtol=1e-3, atol=1e-3)


def test_two_classes_that_mean_one_of_ours_cannot_be_distinguished(tmp_path: Path) -> None:
    weights = own_network(tmp_path, "bus", "truck")
    with pytest.raises(ModelError, match=r"several classes that are car \(bus, truck\)"):
        export(weights, tmp_path / "out.onnx", name="own", size=SIZE, only=[OURS["car"]])


def test_a_size_that_the_stride_does_not_go_into_is_refused(tmp_path: Path) -> None:
    weights = own_network(tmp_path, "person", "car")
    with pytest.raises(UsageError, match=r"multiples of 32, such as 96x64"):
        export(weights, tmp_path / "out.onnx", name="own", size=(100, 60))


@pytest.mark.parametrize(
    ("size", "what"),
    [
        ("0x0", "size 0x0: both sides must be multiples of 32, such as 32x32"),
        ("99968x32", "size 99968x32: a side is at most 8192 pixels"),
        ("99999999999x32", "--size is WxH, like 640x384, not '99999999999x32'"),
        ("\N{SUPERSCRIPT TWO}x32", "--size is WxH, like 640x384, not '\N{SUPERSCRIPT TWO}x32'"),
        ("-32x32", "--size is WxH, like 640x384, not '-32x32'"),
    ],
)
@pytest.mark.parametrize("command", ["export", "train", "study"])
def test_a_size_that_no_network_has_is_a_sentence(
    tmp_path: Path, oneglance: Callable[..., Any], command: str, size: str, what: str
) -> None:
    (tmp_path / "data.yaml").write_text("train: images\nnames: [car]\n")
    weights, out = own_network(tmp_path, "person", "car"), tmp_path / "out"
    words = [weights] if command == "export" else [tmp_path / "data.yaml", "--base", weights]
    outcome = oneglance(command, *words, "--out", out, f"--size={size}")
    assert (outcome.code, outcome.message) == (2, what)
    assert not out.exists()


def test_a_file_of_another_layout_than_a_detector_takes_is_never_written(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strange(*how: Any) -> Any:
        graph = trace(*how)
        graph.graph.output.append(graph.graph.output[0])
        graph.graph.output[1].name = graph.graph.node[-1].input[0]
        return graph

    trace = exporting._trace
    monkeypatch.setattr(exporting, "_trace", strange)
    with pytest.raises(ModelError, match="are not the one_to_many layout"):
        export(weights, tmp_path / "out.onnx", name="odd", size=SIZE)
    assert not (tmp_path / "out.onnx").exists()


def test_the_command_makes_one_graph_of_pixels_to_boxes_from_the_weights(
    weights: Path, tmp_path: Path, oneglance: Callable[..., Any]
) -> None:
    out = tmp_path / "graph.onnx"
    outcome = oneglance(
        *("export", weights, "--size", "96x64", "--head", "one_to_one", "--name", "mine"),
        *("--end-to-end", "120x50", "--out", out),
    )
    assert outcome.code == 0, outcome.err
    session = ort.InferenceSession(out, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": np.full((50, 120, 3), 90, np.uint8)})
    assert [each.shape[0] for each in found] == [len(found[0])] * 3
    assert json.loads(session.get_modelmeta().custom_metadata_map["oneglance"])["name"] == "mine"
