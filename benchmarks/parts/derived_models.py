"""Single-task models cut out of the four-task one, and the same network at other input sizes.

    python -m benchmarks.parts.derived_models road4-n --out out/single-task

A cut model has the four-task network's every layer and the rows of one task in the last: what a
single-task network of this architecture costs, to the millisecond and the byte. Its accuracy is
the four-task model's, so it says nothing about what four specialists would find.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import onnx
from onnx import numpy_helper

from oneglance.models.metadata import KEY, Head, Metadata, read_metadata
from oneglance.models.tasks import Task
from oneglance.models.zoo import DEFAULT, resolve_model
from oneglance.streams.errors import ModelError, OneglanceError
from oneglance.streams.outputs import make_parent, refuse_inputs, write_file

CUT = "cut from the four-task model"
"""In the metadata of a cut model: under ``training.made``."""


def cut(model: Path, task: Task, out: Path) -> Path:
    """Write the network of ``task`` alone to ``out``.

    Raises:
        ModelError: the model has no class of the task, or another layout than the one-to-many
            export: boxes and class scores joined at the end, scores from 1×1 convolutions.
    """
    refuse_inputs(out, [model])
    content = onnx.load(model)
    properties = {p.key: p.value for p in content.metadata_props}
    metadata = read_metadata(properties, str(model))
    rows = [i for i, c in enumerate(metadata.classes) if c.task is task]
    if not rows:
        raise ModelError(f"{model} has no class of the task {task.value}")
    if metadata.head is not Head.ONE_TO_MANY:
        raise ModelError(f"{model} has the {metadata.head} head: only one_to_many can be cut")
    graph = content.graph
    for reshape, convolution in _class_branches(graph, str(model)):
        _keep_rows(graph, convolution, rows)
        shape = f"{reshape.name}/cut_shape"
        target = numpy_helper.to_array(_initializer(graph, reshape.input[1])).copy()
        target[1] = len(rows)
        graph.initializer.append(numpy_helper.from_array(target, shape))
        reshape.input[1] = shape
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4 + len(rows)
    del graph.value_info[:]  # their shapes are those of the whole model
    kept = tuple(metadata.classes[row] for row in rows)
    described = Metadata(
        f"{task.value}-n",
        kept,
        metadata.size,
        metadata.head,
        {"made": f"{CUT} {metadata.name}"},
        metadata.colours if task is Task.LIGHT else None,
    )
    properties |= {
        KEY: described.to_json(),
        "names": str({i: c.name for i, c in enumerate(kept)}),
        "description": f"oneglance {described.name}",
    }
    del content.metadata_props[:]
    for key, value in properties.items():
        content.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(content)
    make_parent(out)
    write_file(out, bytes(content.SerializeToString()))
    return out


def _class_branches(
    graph: onnx.GraphProto, origin: str
) -> list[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Reshape and last convolution of each scale's class branch, found from the output back."""
    made_by = {name: node for node in graph.node for name in node.output}
    try:
        joined = made_by[graph.output[0].name]
        scores = made_by[joined.input[1]]
        reshapes = [made_by[name] for name in made_by[scores.input[0]].input]
        branches = [(reshape, made_by[reshape.input[0]]) for reshape in reshapes]
    except (KeyError, IndexError):
        branches = []
    kinds = {(a.op_type, b.op_type) for a, b in branches}
    if kinds != {("Reshape", "Conv")} or scores.op_type != "Sigmoid":
        raise ModelError(f"{origin} does not end as 'oneglance export' ends a one-to-many network")
    return branches


def _initializer(graph: onnx.GraphProto, name: str) -> onnx.TensorProto:
    found: onnx.TensorProto = next(known for known in graph.initializer if known.name == name)
    return found


def _keep_rows(graph: onnx.GraphProto, convolution: onnx.NodeProto, rows: list[int]) -> None:
    for name in convolution.input[1:]:
        found = _initializer(graph, name)
        kept = numpy_helper.to_array(found)[rows]
        found.CopyFrom(numpy_helper.from_array(kept, name))


def cut_all(model: Path, folder: Path) -> dict[Task, Path]:
    """One file for each task, ``<task>-n.onnx``."""
    return {task: cut(model, task, folder / f"{task.value}-n.onnx") for task in Task}


def at_size(weights: Path, size: tuple[int, int], folder: Path) -> Path:
    """``weights`` exported at another input size, (width, height), by ``oneglance export``.

    Raises:
        ModelError: the export failed; the message says how.
    """
    width, height = size
    out = folder / f"{width}x{height}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(Path(sys.executable).with_name("oneglance"), "export", weights),
        *("--out", out, "--size", f"{width}x{height}"),
    ]
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise ModelError(f"cannot run oneglance export: {error.strerror}") from None
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise ModelError(f"oneglance export at {width}x{height} failed: {words[0]}")
    return out


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("model", nargs="?", default=DEFAULT)
    arguments.add_argument("--out", type=Path, required=True, help="folder for the four files")
    found = arguments.parse_args()
    try:
        for file in cut_all(resolve_model(found.model), found.out).values():
            print(file)
    except OneglanceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
