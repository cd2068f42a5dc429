"""Set up and run everything that CI runs, from nothing but Python and git.

    python3 tests/check.py            # own environment in .venv-check, lint, types, tests, wheel
    python3 tests/check.py --here     # the same in the environment that runs this script

Exits with the first failing step's code. Written for the standard library alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-check"
RTSP_SERVER = ("/usr/bin/python3", str(ROOT / "tests" / "rtsp_server_main.py"))
RTSP_PACKAGES = (
    "python3-gi",
    "gir1.2-gst-rtsp-server-1.0",
    "gstreamer1.0-rtsp",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--here", action="store_true", help="use the current environment as it is")
    here = parser.parse_args().here
    python = Path(sys.executable) if here else _environment()
    if not here:
        _rtsp_server()
    bin_ = python.parent
    step("format", bin_ / "ruff", "format", "--check", ".")
    step("lint", bin_ / "ruff", "check", ".")
    step("imports", bin_ / "lint-imports")
    step("types", bin_ / "mypy")
    step(
        "tests",
        python,
        "-m",
        "pytest",
        "--doctest-modules",
        "streams",
        "models",
        "perception",
        "tests",
    )
    if not here:
        with tempfile.TemporaryDirectory() as folder:
            _tests_against_the_wheel(python, Path(folder))
    print("\nall checks passed")


def _environment() -> Path:
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    step(
        "install",
        *(python, "-m", "pip", "install", "--quiet", "--constraint", "tests/constraints.txt"),
        *("--config-settings", "editable_mode=strict", "--editable", ".[dev,train]"),
    )
    return python


def _rtsp_server() -> None:
    """See that the tests' RTSP server can run: installs it on Debian, where root may."""
    if _can_serve_rtsp():
        return
    may = shutil.which("apt-get") is not None and getattr(os, "geteuid", lambda: 1)() == 0
    if may:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *RTSP_PACKAGES)
        for command in (("apt-get", "update", "-qq"), install):
            print(f"\n== RTSP server: {' '.join(command)}", flush=True)
            subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False)
    if not _can_serve_rtsp():
        why = "apt-get could not" if may else "needs root and apt-get to"
        print(f"\n== RTSP server: none, its tests will skip; {why} install", *RTSP_PACKAGES)


def _can_serve_rtsp() -> bool:
    try:
        return subprocess.run(RTSP_SERVER, capture_output=True, check=False).returncode == 0
    except OSError:  # no Python there
        return False


def _tests_against_the_wheel(python: Path, folder: Path) -> None:
    """What users install: the wheel, alone in a light environment, runs and brings no torch."""
    step("wheel", python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ".")
    wheel = next(folder.glob("oneglance-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    strangers = {top for top in tops if top != "oneglance" and not top.endswith(".dist-info")}
    if strangers:
        sys.exit(f"the wheel installs more than oneglance: {sorted(strangers)}")
    light = folder / "light"
    venv.create(light, with_pip=True)
    light_python = light / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    step(
        "light install",
        *(light_python, "-m", "pip", "install", "--quiet"),
        *(
            f"{wheel}[eval]",
            "pytest",
            "pytest-timeout",
            "hypothesis",
            "psutil",
            "onnx",
            "pycocotools",
        ),
    )
    step("tests against the wheel", light_python, "-m", "pytest", ROOT / "tests", "-q", cwd=folder)


def step(name: str, *command: str | Path, cwd: Path = ROOT) -> None:
    """Run one command; end the script with its exit code when it fails."""
    print(f"\n== {name}: {' '.join(map(str, command))}", flush=True)
    started = time.monotonic()
    code = subprocess.run([str(word) for word in command], cwd=cwd, check=False).returncode
    ending = "ok" if code == 0 else f"failed ({code})"
    print(f"== {name}: {ending}, {time.monotonic() - started:.0f} s", flush=True)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
