"""Trained weights averaged with the pretrained ones."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models.tasks import FOUR_TASKS, ModelClass
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit import finetune as finetuning
from oneglance.models.training.fit.averaging import average, average_with_start
from oneglance.models.training.fit.finetune import finetune
from oneglance.models.training.fit.heads import with_new_last_layer
from oneglance.models.training.recipe import Recipe, training_facts
from oneglance.streams.errors import DataError, ModelError, SinkError, UsageError

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves

ROWS = ("cv3.0.2.", "cv3.1.2.", "cv3.2.2.")
"""Parts of the names of the last layer's weights."""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_weights_and_statistics_are_averaged_and_rows_are_left(coco_base: Path) -> None:
    start = with_new_last_layer(read_checkpoint(coco_base), FOUR_TASKS)
    model = copy.deepcopy(start)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(1.0)
    average_with_start(model, start, alpha=0.75)
    before, after = start.state_dict(), model.state_dict()
    assert any("running_var" in name for name in before)
    for name, tensor in before.items():
        if tensor.is_floating_point():
            moved = 1.0 if any(part in name for part in ROWS) else 0.75
            torch.testing.assert_close(after[name], tensor + moved)


def test_alpha_may_be_chosen_after_the_training(
    data: Path, coco_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(alpha: float) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:  # type: ignore[name-defined]
        recipe = Recipe(epochs=1, size=(160, 96), batch=4, warmup_epochs=0.0, alpha=alpha)
        file = finetune([data], base=coco_base, recipe=recipe, out=tmp_path)
        facts = json.loads((tmp_path / "recipe.json").read_text())
        return read_checkpoint(file).state_dict(), facts

    trained, facts = train(1.0)
    checkpoint = (tmp_path / "weights" / "last.pt").stat().st_mtime_ns
    with monkeypatch.context() as patch:  # stopped half-way: the old weights are not the new ones
        patch.setattr(finetuning, "_weights", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(0.5)
    kept, later = train(0.5)
    assert (tmp_path / "weights" / "last.pt").stat().st_mtime_ns == checkpoint  # not trained again
    name = "model.0.conv.weight"
    start = read_checkpoint(coco_base).state_dict()
    assert not torch.equal(trained[name], start[name])
    torch.testing.assert_close(kept[name], (trained[name] + start[name]) / 2)
    assert later["run"]["recipe"]["alpha"] == 0.5
    assert later["minutes_of_last_session"] == facts["minutes_of_last_session"]
    again, _ = train(1.0)
    assert all(torch.equal(again[name], trained[name]) for name in trained)


def test_without_pretrained_weights_there_is_nothing_to_average_with(
    data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"without a pretrained --base .* leave --alpha at 1"):
        finetune([data], base=None, recipe=Recipe(alpha=0.7), out=tmp_path)
    with pytest.raises(UsageError, match="above 0 and at most 1, not 0"):
        Recipe(alpha=0)


def _run(
    folder: Path, base: Path, *, add: float, classes: tuple[ModelClass, ...] = FOUR_TASKS
) -> Path:
    """A training's folder whose weights are those of ``base`` and ``add``."""
    model = with_new_last_layer(read_checkpoint(base), classes)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(add)
    folder.mkdir()
    torch.save({"model": model.as_ultralytics(), "train_args": {}}, folder / "model.pt")
    run = {
        "data": [str(folder / "roads" / "data.yaml")],
        "base_sha256": "abc",
        "classes": [{"name": cls.name, "task": cls.task.value} for cls in classes],
    }
    (folder / "recipe.json").write_text(json.dumps({"run": run}))
    return folder


def test_trainings_are_averaged_with_their_statistics_and_last_weights(
    coco_base: Path, tmp_path: Path
) -> None:
    runs = [_run(tmp_path / str(add), coco_base, add=add) for add in (0.0, 3.0, 6.0)]
    soup = average(runs, out=tmp_path / "soup")
    found = read_checkpoint(soup).state_dict()
    starts = [read_checkpoint(run / "model.pt").state_dict() for run in runs]
    assert any("running_var" in name for name in found)
    for name, tensor in found.items():
        parts = [start[name] for start in starts]
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, sum(parts) / 3, atol=1e-5, rtol=1e-5)
        else:
            assert torch.equal(tensor, parts[0])
    facts = training_facts(soup)
    assert [part["run"]["data"] for part in facts["average_of"]] == [["roads"]] * 3
    assert str(tmp_path) not in json.dumps(facts)
    # An average is a training like others: 3 counts with 9 as one with one.
    again = average(
        [tmp_path / "soup", _run(tmp_path / "9", coco_base, add=9.0)], out=tmp_path / "b"
    )
    name = "model.0.conv.weight"
    torch.testing.assert_close(read_checkpoint(again).state_dict()[name], starts[0][name] + 6)


def test_what_trainings_forgot_is_given_back_by_the_weights_of_before(
    coco_base: Path, tmp_path: Path
) -> None:
    runs = [_run(tmp_path / str(add), coco_base, add=add) for add in (2.0, 6.0)]
    for number, given in enumerate((runs, [runs[1]])):
        made = average(given, out=tmp_path / f"out-{number}", start=coco_base, alpha=0.75)
        before = read_checkpoint(coco_base).state_dict()
        trained = [read_checkpoint(run / "model.pt").state_dict() for run in given]
        found = read_checkpoint(made).state_dict()
        assert any(part in name for part in ROWS for name in found)
        for name, tensor in found.items():
            if tensor.is_floating_point():
                wanted = sum(each[name] for each in trained) / len(trained)
                if not any(part in name for part in ROWS):
                    wanted = 0.75 * wanted + 0.25 * before[name]
                torch.testing.assert_close(tensor, wanted, atol=1e-5, rtol=1e-5)
        facts = training_facts(made)
        assert len(facts["average_of"]) == len(given)
        assert facts["start"]["base"] == coco_base.name
        assert facts["start"]["alpha"] == 0.75
        digest = hashlib.sha256(coco_base.read_bytes()).hexdigest()
        assert facts["start"]["base_sha256"] == digest


def test_a_share_that_is_none_and_weights_of_another_network_are_refused(
    coco_base: Path, tmp_path: Path
) -> None:
    run, out = _run(tmp_path / "run", coco_base, add=0.0), tmp_path / "out"
    for alpha in (0.0, 1.0, -1.0, 2.0, float("nan")):
        with pytest.raises(UsageError, match=r"is above 0 and below 1, like --alpha 0\.75, not"):
            average([run], out=out, start=coco_base, alpha=alpha)
    with pytest.raises(UsageError, match=r"--alpha 0\.5 .* give --start"):
        average([run, run], out=out, alpha=0.5)
    wider = _run(tmp_path / "wider", coco_base, add=0.0)
    _put(wider, _widen)
    with pytest.raises(DataError, match=r"run and .*model\.pt have other layers"):
        average([run], out=out, start=wider / "model.pt", alpha=0.5)
    with pytest.raises(ModelError, match="nowhere"):
        average([run], out=out, start=tmp_path / "nowhere.pt", alpha=0.5)
    assert not out.exists()
    with pytest.raises(SinkError, match="which is read, lies in it"):
        average([run], out=coco_base.parent / "no" / "..", start=coco_base, alpha=0.5)


def test_only_trainings_that_match_are_averaged(coco_base: Path, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", coco_base, add=0.0)
    fewer = _run(tmp_path / "fewer", coco_base, add=0.0, classes=FOUR_TASKS[:2])
    other = _run(tmp_path / "other", coco_base, add=0.0)
    unnamed = _run(tmp_path / "unnamed", coco_base, add=0.0)
    facts = json.loads((other / "recipe.json").read_text())
    facts["run"]["base_sha256"] = "def"
    (other / "recipe.json").write_text(json.dumps(facts))
    (unnamed / "recipe.json").unlink()
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="two training runs or more"):
        average([run], out=out)
    with pytest.raises(UsageError, match="is one of the runs"):
        average([run, other], out=tmp_path / "out" / ".." / "run")
    with pytest.raises(ModelError, match=r"nowhere has no model\.pt"):
        average([run, tmp_path / "nowhere"], out=out)
    with pytest.raises(ModelError, match=r"model\.pt is a file: give the folder of a training"):
        average([run, run / "model.pt"], out=out)
    with pytest.raises(DataError, match="fewer did not find the same: they cannot be averaged"):
        average([run, fewer], out=out)
    with pytest.raises(DataError, match="other did not start from the same weights"):
        average([run, other], out=out)
    with pytest.raises(DataError, match=r"unnamed has no recipe.json that names its base_sha256"):
        average([run, unnamed], out=out)
    assert not out.exists()


def _put(run: Path, change: Callable[[Any], None]) -> None:
    """Change the network of a run's folder."""
    content = torch.load(run / "model.pt", weights_only=False)
    change(content["model"])
    torch.save(content, run / "model.pt")


def _fill_with_nan(model: Any) -> None:
    next(model.parameters()).data.fill_(float("nan"))


def _widen(model: Any) -> None:
    conv = model.model[0].conv
    conv.weight.data = torch.zeros(conv.weight.shape[0] + 8, *conv.weight.shape[1:])


def test_weights_that_cannot_be_averaged_are_refused_and_nothing_is_written(
    coco_base: Path, tmp_path: Path
) -> None:
    run, out = _run(tmp_path / "run", coco_base, add=0.0), tmp_path / "out"
    diverged = _run(tmp_path / "diverged", coco_base, add=0.0)
    _put(diverged, _fill_with_nan)
    with pytest.raises(ModelError, match=r"diverged.model\.pt cannot be used: .* is not finite"):
        average([run, diverged], out=out)
    wider = _run(tmp_path / "wider", coco_base, add=0.0)
    _put(wider, _widen)
    for runs in ([run, wider], [wider, run]):
        with pytest.raises(DataError, match="have other layers: they cannot be averaged"):
            average(runs, out=out)
    exchanged = average([run, run], out=tmp_path / "exchanged").parent
    (exchanged / "model.pt").write_bytes((wider / "model.pt").read_bytes())
    with pytest.raises(DataError, match=r"model\.pt is not what .*recipe\.json speaks of"):
        average([run, exchanged], out=out)
    assert not out.exists()


@pytest.mark.parametrize(
    "recipe",
    [
        *('{"run": 3}', '{"run": {"data": 3}}', '{"run": {"data": [1]}}', '{"average_of": []}'),
        *('{"average_of": 3}', '{"average_of": [1]}', "null", '{"a": ' * 5000, b"\xff\xfe{"),
    ],
    ids=lambda recipe: recipe[:24] if isinstance(recipe, str) else "no text",
)
def test_a_recipe_of_another_form_is_damaged(recipe: str | bytes, tmp_path: Path) -> None:
    content = recipe.encode() if isinstance(recipe, str) else recipe
    (tmp_path / "recipe.json").write_bytes(content)
    with pytest.raises(DataError, match=r"recipe\.json is damaged: nothing says how"):
        training_facts(tmp_path / "model.pt")


def test_a_recipe_speaks_of_its_own_weights_alone(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"trained")
    sha256 = hashlib.sha256(b"trained").hexdigest()
    (tmp_path / "recipe.json").write_text(json.dumps({"device": "cpu", "model_sha256": sha256}))
    assert training_facts(weights)["device"] == "cpu"
    weights.write_bytes(b"of somebody else")
    with pytest.raises(DataError, match=r"model\.pt is not what .*recipe\.json speaks of"):
        training_facts(weights)
    (tmp_path / "other.pt").write_bytes(b"of somebody else")
    assert training_facts(tmp_path / "other.pt") == {}


def test_the_program_averages_and_says_of_what(
    coco_base: Path, tmp_path: Path, oneglance: Callable[..., Any]
) -> None:
    runs = [_run(tmp_path / str(add), coco_base, add=add) for add in (0.0, 2.0)]
    outcome = oneglance("average", runs[0], "--out", tmp_path / "soup")
    assert (outcome.code, outcome.message) == (2, "an average takes two training runs or more")
    outcome = oneglance("average", *runs, "--out", tmp_path / "soup")
    assert outcome.code == 0, outcome.err
    assert "(of what: " in " ".join(outcome.out.split())
    assert (tmp_path / "soup" / "model.pt").is_file()
