"""Whatever command writes into whatever folder of the user's: refused, and nothing is touched."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

import torch

from filling import filling
from mounts import mounted
from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.fit.heads import from_scratch
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.rendered.dataset import write_dataset
from program import Program

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("base") / "base.pt"
    torch.save({"model": from_scratch(FOUR_TASKS).as_ultralytics().half(), "train_args": {}}, file)
    return file


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "set", frames=8, seed=5, size=(160, 96))


@pytest.fixture
def project(tmp_path: Path, data: Path, base: Path) -> Path:
    """A user's project: a data set, weights and notes, all of them his own."""
    place = tmp_path / "project"
    write_dataset(place / "data", frames=8, seed=5, size=(160, 96))
    (place / "data" / ".oneglance.json").unlink()
    (place / "data" / ".oneglance.made").unlink()
    (place / "model.pt").write_bytes(base.read_bytes())
    (place / "notes.txt").write_text("mine")
    return place


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Every entry below ``folder``: what it holds or leads to, and when it was written."""
    found = {}
    for entry in sorted(folder.rglob("*")):
        if entry.is_symlink():
            content = f"link to {entry.readlink()}"
        elif entry.is_file():
            content = hashlib.sha256(entry.read_bytes()).hexdigest()
        else:
            content = "folder"
        found[str(entry.relative_to(folder))] = (content, entry.lstat().st_mtime_ns)
    return found


COMMANDS: dict[str, Callable[[Path, Path, Path], list[object]]] = {
    "train": lambda data, base, out: [
        *("train", data, "--base", base, "--epochs", 1, "--size", "160x96", "--out", out)
    ],
    "study": lambda data, base, out: [
        *("study", data, "--base", base, "--size", "160x96", "--out", out)
    ],
    "average": lambda data, base, out: ["average", base.parent, base.parent, "--out", out],
    "render": lambda data, base, out: ["render", "--frames", 2, "--out", out],
}


def his_own_files(out: Path) -> None:
    (out / "data" / "raw").mkdir(parents=True)
    (out / "data" / "raw" / "notes.txt").write_text("mine")


def a_plain_ultralytics_run(out: Path) -> None:
    (out / "weights").mkdir(parents=True)
    torch.save({"epoch": 3}, out / "weights" / "last.pt")
    (out / "args.yaml").write_text("task: detect\n")
    (out / "results.csv").write_text("epoch\n")


def weights_in_it(out: Path) -> None:
    out.mkdir()
    (out / "model.pt").write_bytes(b"weights")


def a_file(out: Path) -> None:
    out.write_text("mine")


def below_a_file(out: Path) -> None:
    out.parent.write_text("mine")


def a_link_to_his_folder(out: Path) -> None:
    his_own_files(out.parent / "elsewhere")
    out.symlink_to(out.parent / "elsewhere")


def a_link_to_nothing(out: Path) -> None:
    out.symlink_to("nowhere")


def a_circle_of_links(out: Path) -> None:
    out.symlink_to("around")
    (out.parent / "around").symlink_to(out.name)


def a_hidden_file(out: Path) -> None:
    out.mkdir()
    (out / ".git").write_text("gitdir: elsewhere")


KINDS = {
    kind.__name__.replace("_", " "): kind
    for kind in (
        his_own_files,
        a_plain_ultralytics_run,
        weights_in_it,
        a_file,
        below_a_file,
        a_link_to_his_folder,
        a_link_to_nothing,
        a_circle_of_links,
        a_hidden_file,
    )
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_not_ours_is_refused_and_left_as_it_is(
    command: str, kind: str, tmp_path: Path, data: Path, base: Path, oneglance: Program
) -> None:
    out = tmp_path / "place" / "out" if kind == "below a file" else tmp_path / "out"
    KINDS[kind](out)
    before = state(tmp_path)
    outcome = oneglance(*COMMANDS[command](data, base, out))
    assert outcome.code == 2, outcome.err
    assert str(out) in outcome.message
    assert state(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_the_folder_of_the_project_itself_is_refused(
    command: str, project: Path, monkeypatch: pytest.MonkeyPatch, oneglance: Program
) -> None:
    monkeypatch.chdir(project)
    before = state(project)
    words = COMMANDS[command](Path("data/data.yaml"), Path("model.pt"), Path())
    outcome = oneglance(*words)
    assert outcome.code == 2, outcome.err
    assert outcome.message
    assert state(project) == before


@pytest.mark.parametrize("command", ["train", "study", "audit"])
@pytest.mark.parametrize("way", ["below", "itself", "by a link"])
def test_nothing_is_written_among_the_images_that_are_read(
    command: str, way: str, project: Path, base: Path, model: Path, oneglance: Program
) -> None:
    images = project / "data" / "images" / "train"
    (project / "link").symlink_to(images)
    out = {"below": images / "run", "itself": images, "by a link": project / "link" / "run"}[way]
    data = project / "data" / "data.yaml"
    before = state(project)
    words = (
        ["audit", data, "--model", model, "--candidates", out]
        if command == "audit"
        else COMMANDS[command](data, base, out)
    )
    outcome = oneglance(*words)
    assert outcome.code == 2, outcome.err
    assert "and images in there are those of" in outcome.message
    assert state(project) == before


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A file system that cannot be written to."""
    with mounted(tmp_path / "mount", "ro,size=1m") as folder:
        yield folder


@pytest.mark.parametrize("name", ["out", "."])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_place_is_reported(
    command: str, name: str, read_only: Path, data: Path, base: Path, oneglance: Program
) -> None:
    outcome = oneglance(*COMMANDS[command](data, base, read_only / name))
    assert outcome.code == 2, outcome.err
    if command != "average":  # which looks at its runs first
        assert "the file system is read-only" in outcome.message


def test_what_another_command_made_is_not_filled(
    tmp_path: Path, data: Path, base: Path, oneglance: Program
) -> None:
    write_dataset(tmp_path / "out", frames=2, seed=1, size=(160, 96))
    before = state(tmp_path)
    for command in ("train", "study", "average"):
        outcome = oneglance(*COMMANDS[command](data, base, tmp_path / "out"))
        assert outcome.code == 2, outcome.err
        assert "was made by 'oneglance render'" in outcome.message
    assert state(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_what_another_process_fills_is_left_to_it(
    tmp_path: Path, data: Path, base: Path, oneglance: Program, command: str
) -> None:
    out = tmp_path / "out"
    OutputFolder(out, command).claim()
    (out / ".oneglance-0123456789ab.part").write_text("it is writing this")
    before = state(out)
    with filling(out):
        outcome = oneglance(*COMMANDS[command](data, base, out))
    assert outcome.code == 2, outcome.err
    if command != "average":  # which looks at its runs first
        assert "another run writes to it" in outcome.message
    assert state(out) == before


SINGLE: dict[str, Callable[[Path, Path], list[Any]]] = {
    "jsonl": lambda source, out: ["run", source, "--jsonl", out],
    "video": lambda source, out: ["run", source, "--video", out],
    "json summary": lambda source, out: ["run", source, "--json-summary", out],
}


@pytest.mark.parametrize("link", ["itself", "soft link", "hard link"])
@pytest.mark.parametrize("output", SINGLE)
def test_a_run_never_writes_over_what_it_reads(
    output: str,
    link: str,
    tmp_path: Path,
    model: Path,
    video: Callable[..., Path],
    oneglance: Program,
) -> None:
    source, own_model = video("in.mp4", frames=3), tmp_path / "model.onnx"
    own_model.write_bytes(model.read_bytes())
    for read in (source, own_model):
        out = read
        if link != "itself":
            out = tmp_path / f"{read.stem}-{link.replace(' ', '-')}.mp4"
            out.symlink_to(read) if link == "soft link" else os.link(read, out)
        before = state(tmp_path)
        outcome = oneglance(*SINGLE[output](source, out), "--model", own_model)
        assert outcome.code == 2, outcome.err
        assert str(out) in outcome.message
        assert state(tmp_path) == before


@pytest.mark.parametrize("command", ["audit", "eval"])
def test_figures_are_never_written_over_what_is_read(
    command: str, tmp_path: Path, data: Path, model: Path, oneglance: Program
) -> None:
    given = tmp_path / "data.yaml"
    given.write_text(data.read_text().replace("path: .", f"path: {data.parent}"))
    before = state(tmp_path)
    words = ["eval", model, given] if command == "eval" else ["audit", given]
    outcome = oneglance(*words, "--json", given)
    assert outcome.code == 2, outcome.err
    assert "which is read; give another name" in outcome.message
    assert state(tmp_path) == before


@pytest.mark.parametrize("command", ["audit", "eval"])
def test_figures_are_never_written_over_an_image_or_a_label_of_a_set(
    command: str, tmp_path: Path, data: Path, model: Path, oneglance: Program
) -> None:
    mine = shutil.copytree(data.parent, tmp_path / "set")
    before = state(mine)
    given = mine / data.name
    words = ["eval", model, given] if command == "eval" else ["audit", given]
    for read in (next(mine.rglob("*.png"), None), next(mine.rglob("*.jpg"), None)):
        if read is not None:
            outcome = oneglance(*words, "--json", read)
            assert outcome.code == 2, outcome.err
            assert "which is read; give another name" in outcome.message
    label = next(mine.rglob("labels/**/*.txt"))
    assert oneglance(*words, "--json", label).code == 2
    assert state(mine) == before
