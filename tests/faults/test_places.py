"""Places that cannot be used: a home and temporary folders that are read-only, a current folder
that was removed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from media import make_video
from program import COMMAND

_TO_READ = "mount --bind {0} {0} && mount -o remount,bind,ro {0}"


def run(
    *words: object, where: Path | None = None, before: tuple[str, ...] = (), removed: bool = False
) -> subprocess.CompletedProcess[str]:
    """``oneglance WORDS`` in the folder ``where``, which is ``removed`` first; ``before``: what
    starts it."""
    command = [*before, *COMMAND, *map(str, words)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TMP", "TEMP"))}
    if removed:
        assert where is not None
        script = 'cd "$0" && rmdir "$0" && exec "$@"'
        command = ["sh", "-c", script, str(where), *command]
    return subprocess.run(
        command,
        cwd=None if removed else where,
        capture_output=True,
        check=False,
        text=True,
        timeout=110,
        env=environment,
    )


def read_only(folders: list[Path]) -> tuple[str, ...]:
    """What runs a program with those folders read-only, for it alone."""
    mounts = " && ".join(_TO_READ.format(folder) for folder in folders)
    words = ("unshare", "--mount", "sh", "-c", f'{mounts} && cd / && exec "$@"', "sh")
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], check=False).returncode:
        pytest.skip("mounting needs root on Linux")
    return words


def test_what_is_wrong_with_an_image_is_reported_by_us_alone(tmp_path: Path) -> None:
    shown = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    whole = cv2.imencode(".tiff", shown)[1].tobytes()
    (tmp_path / "cut.tiff").write_bytes(whole[: len(whole) // 2])
    done = run("run", tmp_path / "cut.tiff")
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line]
    assert all(line.startswith(("WARNING oneglance", "error: ")) for line in lines), done.stderr


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "clip.mp4", frames=3)


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["shared memory", "nothing"])
def test_a_container_that_is_read_only_runs_where_it_has_shared_memory(
    clip: Path, memory: str
) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs shared memory")
    folders = [Path("/"), *map(Path, ("/tmp", "/var/tmp"))]
    folders += [Path("/dev/shm")] if memory == "nothing" else []
    done = run("run", clip, before=read_only(folders))
    if memory == "nothing":
        assert done.returncode == 2
        assert done.stderr == (
            "error: no temporary folder can be written to; set TMPDIR to one that can\n"
        )
    else:
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_current_folder_that_was_removed_is_a_sentence_where_it_matters(
    clip: Path, tmp_path: Path
) -> None:
    def in_no_folder(*words: object) -> subprocess.CompletedProcess[str]:
        where = tmp_path / "gone"
        where.mkdir()
        return run(*words, where=where, removed=True)

    for words in (
        ("run", clip, "--jsonl", "a.jsonl"),
        ("render", "--out", "set", "--frames", 2),
        ("train", "data.yaml", "--base", "base.pt", "--out", "out"),
        ("export", "base.pt", "--out", "a.onnx"),
        ("average", "one", "two", "--out", "out"),
    ):
        done = in_no_folder(*words)
        assert done.returncode == 2, words
        assert done.stderr.count("\n") == 1
        assert done.stderr.endswith("the current folder was removed; change to another one (cd)\n")
    whole = in_no_folder("run", clip, "--jsonl", tmp_path / "a.jsonl")
    assert (whole.returncode, whole.stderr) == (0, "")
