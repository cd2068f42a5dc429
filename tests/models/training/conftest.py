"""Small real data sets, made where they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest
import yaml

from media import photograph

if TYPE_CHECKING:
    from ultralytics.nn.tasks import DetectionModel

SetMaker = Callable[..., Path]

FOUR_NAMES = {0: "pedestrian", 1: "car", 2: "sign", 3: "light"}


@pytest.fixture
def make_set(tmp_path: Path) -> SetMaker:
    """``make_set("signs", train={"a": "2 0.5 0.5 0.2 0.2"}, names=…, **keys)`` → its data.yaml.

    Each image has a name and the text of its label file, None for no file. ``keys`` go to the
    data.yaml.
    """

    def make(
        folder: str = "set",
        *,
        train: Mapping[str, str | None] | None = None,
        val: Mapping[str, str | None] | None = None,
        names: object = None,
        size: tuple[int, int] = (64, 48),
        **keys: object,
    ) -> Path:
        root = tmp_path / folder
        content: dict[str, object] = {"path": ".", "names": names or FOUR_NAMES, **keys}
        for split, images in (("train", train), ("val", val)):
            if images is None:
                continue
            content.setdefault(split, f"images/{split}")
            (root / "images" / split).mkdir(parents=True)
            (root / "labels" / split).mkdir(parents=True)
            for name, labels in images.items():
                seed = sum(f"{folder}{split}{name}".encode())
                cv2.imwrite(str(root / "images" / split / f"{name}.jpg"), photograph(seed, size))
                if labels is not None:
                    (root / "labels" / split / f"{name}.txt").write_text(labels)
        file = root / "data.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    return make


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of rendered frames, all four tasks labelled."""
    from oneglance.streams.rendered.dataset import write_dataset

    folder = tmp_path_factory.mktemp("rendered")
    return write_dataset(folder / "set", frames=12, seed=5, size=(160, 96))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of ours before any training."""
    torch = pytest.importorskip("torch", reason="needs the 'train' extra")
    from oneglance.models.tasks import FOUR_TASKS
    from oneglance.models.training.fit.heads import from_scratch

    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("base") / "base.pt"
    torch.save({"model": from_scratch(FOUR_TASKS).as_ultralytics().half(), "train_args": {}}, file)
    return file


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one CPU: building a network is many small steps, slower on several."""
    torch = pytest.importorskip("torch", reason="needs the 'train' extra")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def awaken(model: DetectionModel) -> None:
    """Give an untrained network BatchNorm statistics that it meets: otherwise its features die
    out from layer to layer, and every image has the same answer."""
    import torch

    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average over all that follows
    model.train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(2):
            model(torch.rand(4, 3, 96, 96, generator=generator))
    for norm in norms:
        norm.momentum = 0.03
    model.eval()


@pytest.fixture(scope="session")
def coco_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLO26n for COCO's 80 classes as ultralytics publishes it, but never trained."""
    torch = pytest.importorskip("torch", reason="needs the 'train' extra")
    tasks = pytest.importorskip("ultralytics.nn.tasks", reason="needs the 'train' extra")
    from ultralytics.utils import YAML
    from ultralytics.utils.checks import check_yaml

    torch.manual_seed(0)
    model = tasks.DetectionModel("yolo26n.yaml", verbose=False)
    model.names = YAML.load(check_yaml("coco.yaml"))["names"]
    awaken(model)
    file = tmp_path_factory.mktemp("coco") / "yolo26n-untrained.pt"
    torch.save({"model": model.half(), "train_args": {"task": "detect"}}, file)
    return file
