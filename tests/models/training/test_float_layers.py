"""Which layers of a network stay in float, by step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from oneglance.models.engines.openvino import import_openvino
from oneglance.models.training.float_layers import Kept, operators_in_float, steps
from oneglance.models.zoo import resolve_model
from oneglance.streams.errors import ModelError

pytestmark = pytest.mark.usefixtures("openvino")


@pytest.fixture(scope="module")
def network() -> Any:
    pytest.importorskip("openvino", reason="needs the 'openvino' extra")
    return import_openvino().Core().read_model(resolve_model("road4-n-416"))


def layers(network: Any, kept: Kept) -> set[int]:
    names = operators_in_float(network, kept, origin=Path("a.onnx"))
    return {int(found[1]) for name in names if (found := re.match(r"/model\.(\d+)/", name))}


def test_each_step_keeps_more_in_float(network: Any) -> None:
    """The network's layers: backbone 0 to 10, neck 11 to 22, head 23."""
    assert layers(network, Kept.HEAD) == {23}
    assert layers(network, Kept.FINE) == {0, 1, 2, 3, 4, 16, 23}
    assert layers(network, Kept.NECK) == {0, 1, 2, 3, 4, *range(11, 24)}


def test_steps_go_on_from_the_first() -> None:
    assert steps(Kept.HEAD) == (Kept.HEAD, Kept.FINE, Kept.NECK)
    assert steps(Kept.NECK) == (Kept.NECK,)


def test_each_step_says_what_stays() -> None:
    said = [str(each) for each in Kept]
    assert len(set(said)) == 3
    assert all("the detection head" in words for words in said)


def test_a_network_whose_layers_have_other_names_is_refused(model: Path) -> None:
    other = import_openvino().Core().read_model(model)
    with pytest.raises(ModelError, match=r"a\.onnx: which of its layers are the detection head"):
        operators_in_float(other, Kept.HEAD, origin=Path("a.onnx"))
