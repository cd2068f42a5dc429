"""The whole way from data to scores on a few small images, in pieces and packed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")
pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from benchmarks import pack_training, road4, train_road4
from benchmarks.pack_training import MANIFEST, pack, unpack
from benchmarks.training_state import restore_state, save_state
from oneglance.models import Detector, Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.zoo import DEFAULT
from oneglance.streams.errors import DataError, UsageError
from oneglance.streams.rendered.dataset import write_dataset

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two small sets with one folder of images, as gtsdb's two files have, one of them partial."""
    whole = write_dataset(tmp_path / "set", frames=10, seed=5, size=(160, 96))
    text = whole.read_text()
    others, signs = whole.with_name("others.yaml"), whole.with_name("signs.yaml")
    others.write_text(text + "labels: [pedestrian, car, light]\n")
    signs.write_text(text + "labels: {sign: partial}\n")
    sources = {
        "whole": road4.Source(whole, oversample=0),
        "others": road4.Source(others, 2, scored=False),
        "signs": road4.Source(signs),
        "absent": road4.Source(tmp_path / "nowhere.yaml"),
    }
    for module in (road4, train_road4, pack_training):
        monkeypatch.setattr(module, "SETS", sources)
    return {name: one.file for name, one in sources.items() if one.file.is_file()}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_base(tmp_path)


def at(confidence: float) -> Detector:
    return Detector.load(DEFAULT, confidence=confidence)


def write_base(tmp_path: Path) -> Path:
    """A network that knows nothing yet."""
    from oneglance.models.tasks import FOUR_TASKS
    from oneglance.models.training.fit.heads import from_scratch

    torch.manual_seed(0)
    file = tmp_path / "base.pt"
    torch.save({"model": from_scratch(FOUR_TASKS).as_ultralytics().half(), "train_args": {}}, file)
    return file


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def asked(out: Path, base: Path, *more: str) -> list[str]:
    words = ["--out", str(out), "--base", str(base), "--size", "160x96", "--batch", "4"]
    return [*words, "--epochs", "1", "--device", "cpu", *more]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_seeds_are_trained_averaged_exported_and_scored_and_not_again(
    sets: dict[str, Path], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert train_road4.main(asked(out, base, "--seeds", "0,1")) == 0
    reported = results(out)
    assert reported["complete"]
    scores = reported["arms"]["boxes"]["scores"]
    assert scores.keys() == {"whole", "signs"}
    assert scores["whole"]["tasks"]["car"]["boxes"] > 0
    assert scores["signs"]["tasks"] == {}
    assert 0 <= scores["signs"]["partial"]["sign"]["recall"] <= 1
    assert len(reported["arms"]["boxes"]["training"]["average_of"]) == 2
    detector = Detector.load(out / "boxes" / "model.onnx")
    assert [cls.name for cls in detector.classes][:5][-1].startswith("sign_")
    assert len(list((out / "cache").glob("*.bin"))) == 1  # both seeds share it
    stamps = [f.stat().st_mtime_ns for f in sorted(out.glob("boxes/seed-*/model.pt"))]
    assert train_road4.main(asked(out, base, "--seeds", "0,1")) == 0
    assert stamps == [f.stat().st_mtime_ns for f in sorted(out.glob("boxes/seed-*/model.pt"))]
    monkeypatch.setattr(road4, "BASE", base)
    words = ["--seeds", "0,1", "--score-only", "--pretrained-share", "0.25"]
    assert train_road4.main(asked(out, base, *words)) == 0
    training = results(out)["arms"]["boxes"]["training"]
    assert len(training["average_of"]) == 2
    assert training["start"]["alpha"] == 0.75


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_sets_that_were_labelled_anew_are_trained_on_and_the_old_labels_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lights = write_dataset(tmp_path / "lights", frames=10, seed=5, size=(544, 320))
    lights.write_text(lights.read_text() + "labels: [sign, light]\n")
    for module in (road4, train_road4):
        monkeypatch.setattr(module, "SETS", {"lights": road4.Source(lights)})
    monkeypatch.setattr(road4, "COLOURS_FROM", ())  # rendered lights have no labelled ones
    # The network that knows the rendered drive answers for the pretrained one.
    monkeypatch.setattr(train_road4, "pretrained", lambda *_, confidence: at(confidence))
    base, out = write_base(tmp_path), tmp_path / "out"
    for again in (False, True):
        assert train_road4.main(asked(out, base, "--tight", "--beyond")) == 0
        found = results(out)
        training, scores = found["arms"]["boxes"]["training"], found["arms"]["boxes"]["scores"]
        assert found["how"]["tight"]
        assert found["how"]["beyond"]
        assert training["run"]["data"] == ["lights"]
        assert set() < scores["lights"]["tasks"].keys() <= {"sign", "light"}
        assert scores["lights"]["partial"] == {}, again  # as it came
    new = read_dataset(out / "beyond" / "lights" / "data.yaml")
    assert new.partial_tasks == {Task.PEDESTRIAN, Task.CAR}
    assert new.count_boxes(new.images("train"))[Task.CAR] > 0
    there = tmp_path / "there"
    there.mkdir()
    for part in out.glob("state.zip.*"):
        part.rename(there / part.name)
    assert restore_state(there) > 0  # what is made again is not carried
    assert not (there / "tight").exists()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_time_does_not_suffice_for_goes_on_on_another_machine(
    sets: dict[str, Path], base: Path, tmp_path: Path
) -> None:
    out, there = tmp_path / "out", tmp_path / "there"
    words = ["--epochs", "2", "--in-pieces"]
    assert train_road4.main([*asked(out, base), *words, "--minutes", "0.001"]) == 3
    assert not results(out)["complete"]
    assert results(out)["arms"]["boxes"]["training"]["stopped"]["of"] == 2  # and is scored
    there.mkdir()
    for part in out.glob("state.zip.*"):
        part.rename(there / part.name)
    assert train_road4.main([*asked(there, base), *words]) == 0
    training = results(there)["arms"]["boxes"]["training"]
    assert "stopped" not in training
    assert training["run"]["recipe"]["epochs"] == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_of_one_task_teach_the_one(sets: dict[str, Path], base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert train_road4.main(asked(out, base, "--arms", "born-again")) == 0
    arms = results(out)["arms"]
    assert list(arms) == [*(f"only-{task}" for task in Task), "born-again"]
    assert len(arms["born-again"]["training"]["run"]["teachers_sha256"]) == 4
    assert arms["only-sign"]["scores"]["whole"]["tasks"].keys() == {"sign"}
    assert arms["only-sign"]["training"]["run"]["recipe"]["oversample"] == [1]
    assert arms["born-again"]["scores"]["whole"]["tasks"].keys() >= {"pedestrian", "car", "sign"}


def test_what_unfinished_networks_would_teach_waits_for_them(
    sets: dict[str, Path], base: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["--arms", "born-again", "--in-pieces", "--minutes", "1e-9"]
    assert train_road4.main(asked(out, base, *words)) == 3
    assert results(out)["arms"] == {}


def test_a_packed_set_says_what_the_original_does(sets: dict[str, Path], tmp_path: Path) -> None:
    files = pack(sets, tmp_path / "packed.zip", side=160, limit=100_000)
    assert len(files) == 1
    assert files[0].stat().st_size <= 100_000
    found = unpack(files, tmp_path / "data")
    assert found.keys() == sets.keys()
    for name, file in found.items():
        one, other = read_dataset(sets[name]), read_dataset(file)
        assert other.partial_tasks == one.partial_tasks
        assert other.labelled_tasks == one.labelled_tasks
        assert other.classes == one.classes
        for split in ("train", "val"):
            assert other.count_boxes(other.images(split)) == one.count_boxes(one.images(split))
    shared = [{f.resolve() for f in read_dataset(found[n]).images("train")} for n in found]
    assert shared[0] == shared[1]  # one file for an image of two sets
    stamp = next((tmp_path / "data" / "images").iterdir()).stat().st_mtime_ns
    unpack(files, tmp_path / "data")
    assert next((tmp_path / "data" / "images").iterdir()).stat().st_mtime_ns == stamp
    (tmp_path / "data" / MANIFEST).write_text('{"pack')  # as a kill may leave it
    assert unpack(files, tmp_path / "data") == found


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_packing_trains_where_the_data_is_not(
    sets: dict[str, Path], base: Path, tmp_path: Path
) -> None:
    trained = {name: file for name, file in sets.items() if name != "whole"}
    files = pack(
        trained, tmp_path / "packed.zip", side=160, limit=12_000, volumes=9, splits=["train"]
    )
    assert len(files) > 1
    assert max(file.stat().st_size for file in files) <= 12_000
    for file in (tmp_path / "set").rglob("*.jpg"):
        file.rename(file.with_suffix(".hidden"))
    out = tmp_path / "out"
    words = asked(out, base, "--packed", *map(str, files), "--minutes", "5")
    assert train_road4.main(words) == 0
    assert results(out)["how"]["packed"]
    assert results(out)["arms"]["boxes"]["scores"] == {}  # there was nothing to score on
    for file in (tmp_path / "set").rglob("*.hidden"):
        file.rename(file.with_suffix(".jpg"))
    back = tmp_path / "back"
    back.mkdir()
    for part in out.glob("state.zip.*"):
        part.rename(back / part.name)
    assert train_road4.main(asked(back, base, "--score-only")) == 0
    assert results(back)["complete"]
    assert results(back)["arms"]["boxes"]["scores"].keys() == {"whole", "signs"}


def test_a_packing_that_cannot_fit_or_is_not_whole_is_reported(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"10 images of 160 px do not fit into 1 x"):
        pack(sets, tmp_path / "packed.zip", side=160, limit=3_000)
    files = pack(sets, tmp_path / "packed.zip", side=160, limit=20_000, volumes=9)
    with pytest.raises(DataError, match=r"1 of \d+ archives are here: give all"):
        unpack(files[:1], tmp_path / "data")
    content = files[1].read_bytes()
    files[1].write_bytes(content[:500])
    with pytest.raises(DataError, match=r"packed.1.zip is not an archive of ours that is whole"):
        unpack(files, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_state_in_parts_is_restored_whole_or_refused(tmp_path: Path) -> None:
    folder, there = tmp_path / "out", tmp_path / "there"
    training = folder / "boxes" / "seed-0"
    (training / "weights").mkdir(parents=True)
    content = bytes(range(256)) * 40
    (training / "weights" / "last.pt").write_bytes(content)
    (training / "data").mkdir()
    (training / "data" / "x.txt").write_text("made again")
    parts = save_state(folder, 200)
    assert all(part.stat().st_size <= 200 for part in parts)
    there.mkdir()
    for part in parts:
        (there / part.name).write_bytes(part.read_bytes())
    assert restore_state(there) == 1
    assert (there / "boxes/seed-0/weights/last.pt").read_bytes() == content
    assert restore_state(there) == 0
    (there / parts[0].name).unlink()
    with pytest.raises(DataError, match="not all parts of one state"):
        restore_state(there)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--arms", "best"], "no arm 'best' (arms: boxes"),
        (["--without", "nothing"], "no set 'nothing'"),
        (["--seeds", "one"], "--seeds is a list of numbers"),
        (["--device", "99"], "GPU 99 is not there"),
        (["--pretrained-share", "1"], "--pretrained-share is at least 0 and below 1, not 1"),
        (["--packed", "nowhere.zip"], "nowhere.zip is not an archive of ours"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    sets: dict[str, Path],
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    assert train_road4.main([*asked(tmp_path / "out", base), *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_plan_trains_nothing(
    sets: dict[str, Path], base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_road4.main([*asked(tmp_path / "out", base), "--plan"]) == 0
    assert "1 trainings of 3 steps (12 images an epoch)" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
