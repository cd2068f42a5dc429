"""A disk that breaks in the middle of a run: the error names the output, and says what is left."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mounts import mounted_ext4
from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.perception.testing import results
from oneglance.streams import SinkError


@pytest.mark.parametrize(
    "text", ["jsonl:out.jsonl", "csv:out.csv", "video:out.mp4", "mcap:out.mcap", "parquet:out"]
)
def test_the_output_is_named_and_closed(text: str, tmp_path: Path) -> None:
    name, _, file = text.partition(":")
    needed = {"mcap": "mcap", "parquet": "pyarrow"}.get(name, "json")
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    with mounted_ext4(tmp_path / "disk") as break_it:
        place = tmp_path / "disk" / file
        sink = SinkChoice.parse(f"{name}:{place}").open(SinkContext())
        first, *others = results(60)
        sink.write(first)
        break_it()

        def go_on() -> None:
            for each in others:
                sink.write(each)
            sink.close()

        with pytest.raises(SinkError, match=f"^cannot write {place}") as error:
            go_on()
        assert "What is there plays" not in str(error.value), "no fragment was whole"
        sink.close()
