"""The worked third-party package, from installing it to its first frame."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from oneglance.perception.plugins import SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.testing import SinkTests, SourceTests
from oneglance.streams import ConnectOptions, Stream

PACKAGE = Path(__file__).parents[3] / "perception" / "examples" / "plugin_package"
PROGRAM = "from oneglance.perception.cli.main import main; main()"


def package() -> ModuleType:
    """Its module, loaded where it lies."""
    file = PACKAGE / "oneglance_example_plugin.py"
    spec = importlib.util.spec_from_file_location("oneglance_example_plugin", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that sees what is installed here, and the package."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    fresh = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    here = [path for path in sys.path if "site-packages" in path]
    here.append(sysconfig.get_path("purelib"))
    (fresh / "here.pth").write_text("\n".join(f"import site; site.addsitedir({p!r})" for p in here))
    source = shutil.copytree(PACKAGE, folder / "package")  # building leaves files beside it
    command = [python, "-m", "pip", "install", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--quiet", "--prefix", folder / "env", str(source)],  # type: ignore[list-item]
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named pip" in done.stderr:
        pytest.skip("needs pip beside this interpreter")
    assert done.returncode == 0, done.stderr
    return python


def run(python: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """``oneglance WORDS`` in that environment."""
    return subprocess.run(
        [python, "-c", PROGRAM, *map(str, words)], capture_output=True, text=True, check=False
    )


def test_it_is_listed_with_its_version(environment: Path) -> None:
    done = run(environment, "plugins")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if "example-plugin" in line]
    assert lines == [
        ["source", "pattern", "oneglance-example-plugin", "0.1.0", "ready"],
        ["sink", "counts", "oneglance-example-plugin", "0.1.0", "ready"],
    ]


def test_its_source_plays_into_its_sink(environment: Path, tmp_path: Path, model: Path) -> None:
    table, lines = tmp_path / "counts.csv", tmp_path / "a.jsonl"
    outputs = ("--sink", f"counts:{table}", "--jsonl", lines)
    done = run(environment, "run", "pattern://moving?frames=4", "--model", model, *outputs)
    assert done.returncode == 0, done.stderr
    head, *rows = table.read_text().splitlines()
    assert head == "frame,timestamp_s,pedestrian,car,sign,light"
    assert [row.split(",") for row in rows] == [[str(i), f"0.{i}00", *"1110"] for i in range(4)]
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert {line["source"] for line in found} == {"pattern://moving"}


def test_its_errors_are_sentences(environment: Path, model: Path) -> None:
    done = run(environment, "run", "pattern://x?frames=many", "--model", model)
    assert done.returncode == 2
    assert "frames is a number, not 'many'" in done.stderr
    assert "Traceback" not in done.stderr


class TestItsSink(SinkTests):
    def open(self, folder: Path) -> Sink:
        opened: Sink = package().open_counts(str(folder / "counts.csv"), SinkContext())
        return opened

    def read(self, folder: Path) -> Sequence[tuple[int, float]]:
        rows = (folder / "counts.csv").read_text().splitlines()[1:]
        return [(int(row.split(",")[0]), float(row.split(",")[1])) for row in rows]

    def open_failing(self, folder: Path) -> Sink | None:
        if not Path("/dev/full").exists():
            return None
        (folder / "counts.csv").symlink_to("/dev/full")
        return self.open(folder)


class TestItsSource(SourceTests):
    def open(self) -> Stream:
        opened: Stream = package().open_pattern("pattern://moving?frames=5", ConnectOptions())
        return opened
