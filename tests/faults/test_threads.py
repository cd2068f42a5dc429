"""A system that gives no more: threads (``ulimit -u``, a container's limit of processes), address
space, pixels."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from media import make_video
from program import COMMAND, lines_of

resource = pytest.importorskip("resource", reason="limits are a thing of POSIX")

_NOBODY = str(60_000 + os.getpid() % 5_000)
_KEEP = "-all,+dac_override,+dac_read_search"  # of root: to read and write as root may


def limited(processes: int) -> list[str]:
    """What runs a program under that limit, which root does not heed."""
    prlimit, setpriv = shutil.which("prlimit"), shutil.which("setpriv")
    if prlimit is None or (os.geteuid() == 0 and setpriv is None):
        pytest.skip("needs prlimit, and as root setpriv")
    limit = [prlimit, f"--nproc={processes}"]
    if os.geteuid() != 0:
        return limit
    caps = [f"--{kind}={_KEEP}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    words = [*limit, str(setpriv), "--reuid", _NOBODY, "--clear-groups", *caps]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("root may not hand on its capabilities here")
    return words


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["recorded", "live"])
@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_a_limit_of_threads_is_a_sentence(threads: int, mode: str, tmp_path: Path) -> None:
    if os.geteuid() != 0 and threads > 1:
        pytest.skip("how many processes this user has is not known")
    clip = make_video(tmp_path / "clip.mp4", frames=3)
    out = tmp_path / "out.jsonl"
    words = ["run", str(clip), "--mode", mode, "--jsonl", str(out), "--threads", "2"]
    done = subprocess.run(
        [*limited(threads), *COMMAND, *words],
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 2 or threads == 4, done.stderr
    if done.returncode:
        assert done.stderr.startswith("error: no more threads can be started"), done.stderr
        assert "ulimit -u" in done.stderr
        assert "an output" not in done.stderr
    if out.exists():
        lines_of(out)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit")
@pytest.mark.parametrize("megabytes", [300, 600, 900])
@pytest.mark.parametrize("words", [["run"], ["--help"], ["train", "data.yaml"]])
def test_too_small_an_address_space_is_a_sentence(words: list[str], megabytes: int) -> None:
    done = subprocess.run(
        ["prlimit", f"--as={megabytes * 1_000_000}", *COMMAND, *words],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: this process may use {megabytes} MB of address space")
    assert "needs 1000 MB at least: raise the limit" in done.stderr


@pytest.mark.slow
def test_a_limit_of_pixels_that_the_models_own_frames_exceed_is_a_sentence(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4", frames=3)
    done = subprocess.run(
        [*COMMAND, "run", str(clip), "--jsonl", str(tmp_path / "out.jsonl")],
        env={**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "larger than OPENCV_IO_MAX_IMAGE_PIXELS allows" in done.stderr
