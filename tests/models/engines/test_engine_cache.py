"""What is kept of compiled engines: whole, unchanged, or an error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oneglance.models.engines.engine_cache import INDEX, cache_key, cached, default_folder
from oneglance.streams.errors import ModelError, UsageError
from present import present


def fill(root: Path, content: bytes = b"engine") -> Path:
    with cached(root, "key") as folder:
        (folder / "a.engine").write_bytes(content)
    return root / "key"


def test_what_was_compiled_is_there_the_next_time(tmp_path: Path) -> None:
    fill(tmp_path / "engines")
    with cached(tmp_path / "engines", "key") as folder:
        assert (folder / "a.engine").read_bytes() == b"engine"
    assert [each.name for each in (tmp_path / "engines").iterdir()] == ["key"]


def truncate(folder: Path) -> None:
    (folder / "a.engine").write_bytes(b"eng")


def flip(folder: Path) -> None:
    (folder / "a.engine").write_bytes(b"enginf")


def remove(folder: Path) -> None:
    (folder / "a.engine").unlink()


def add(folder: Path) -> None:
    (folder / "b.engine").write_bytes(b"somebody else's")


def tear_index(folder: Path) -> None:
    (folder / INDEX).write_text("{")


def remove_index(folder: Path) -> None:
    (folder / INDEX).unlink()


def bytes_index(folder: Path) -> None:
    (folder / INDEX).write_bytes(b"\xff")


@pytest.mark.parametrize(
    "damage", [truncate, flip, remove, add, tear_index, remove_index, bytes_index]
)
def test_a_cache_that_is_damaged_is_an_error_that_says_what_to_remove(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = fill(tmp_path)
    damage(folder)
    before = sorted(folder.iterdir())
    with (
        pytest.raises(ModelError, match=r"is damaged or was changed: remove that folder") as error,
        cached(tmp_path, "key"),
    ):
        pytest.fail("it was used")
    assert str(folder) in str(error.value)
    assert sorted(folder.iterdir()) == before, "nothing of it is touched"


def test_when_compiling_fails_nothing_is_left(tmp_path: Path) -> None:
    def compile_engine() -> None:
        with cached(tmp_path, "key") as folder:
            (folder / "half.engine").write_bytes(b"half")
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        compile_engine()
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_compile_at_once_the_first_is_kept(tmp_path: Path) -> None:
    with cached(tmp_path, "key") as folder:
        fill(tmp_path, b"first")
        (folder / "a.engine").write_bytes(b"second")
    assert (tmp_path / "key" / "a.engine").read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


COMPILING = """
import sys
from pathlib import Path
from oneglance.models.engines.engine_cache import cached
with cached(Path(sys.argv[1]), sys.argv[2]) as folder:
    (folder / "a.engine").write_bytes(b"theirs")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks: a day later there")
def test_what_a_killed_process_left_is_removed_and_one_at_work_is_not_disturbed(
    tmp_path: Path,
) -> None:
    keys = [cache_key(content, "fp16", "1") for content in (b"killed", b"at work", b"ours")]
    foreign = tmp_path / ".mine.part"
    foreign.mkdir()
    left = []
    with subprocess.Popen(
        [sys.executable, "-c", COMPILING, tmp_path, keys[1]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as at_work:
        present(at_work.stdout).readline()
        with subprocess.Popen(
            [sys.executable, "-c", COMPILING, tmp_path, keys[0]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as killed:
            left.append(Path(present(killed.stdout).readline().strip()))
            killed.kill()
        assert left[0].is_dir()
        with cached(tmp_path, keys[2]) as ours:
            assert not left[0].exists()
            with cached(tmp_path, keys[0]):  # another thread of ours does not disturb it either
                assert ours.is_dir()
        at_work.communicate("")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([foreign.name, *keys])
    assert (tmp_path / keys[1] / "a.engine").read_bytes() == b"theirs"


@pytest.mark.skipif(os.name == "nt", reason="a file in a folder's place is another error there")
def test_a_place_where_nothing_can_be_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"engines cannot be kept in .*file.*--engine-cache"),
        cached(tmp_path / "file", "key"),
    ):
        pytest.fail("it was used")


def test_another_model_precision_or_version_has_a_place_of_its_own() -> None:
    keys = {
        cache_key(b"a", "fp16", "1"),
        cache_key(b"b", "fp16", "1"),
        cache_key(b"a", "fp32", "1"),
        cache_key(b"a", "fp16", "2"),
    }
    assert len(keys) == 4
    assert cache_key(b"a", "fp16", "1") in keys


def test_engines_are_kept_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/oneglance/engines")
