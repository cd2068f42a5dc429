"""Memory that is given back, and shared: what the system sees of it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

FREED = """
import ctypes, sys
from oneglance.models.engines.heap import return_freed_memory

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) << 10

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
size, count = 64 << 10, 1024
blocks = [libc.malloc(size) for _ in range(count)]
for block in blocks:
    ctypes.memset(block, 1, size)
for block in blocks[:-1]:  # the last one keeps the heap from being cut
    libc.free(block)
before = resident()
return_freed_memory()
print((before - resident()) / (size * count))
"""


ARENAS = """
import ctypes, sys, threading
from oneglance.models.engines.heap import limit_arenas

if sys.argv[1:]:
    limit_arenas(int(sys.argv[1]))
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
have_asked, done = threading.Barrier(13), threading.Event()

def ask():
    libc.malloc(1 << 12)
    have_asked.wait()
    done.wait()

for _ in range(12):
    threading.Thread(target=ask, daemon=True).start()
have_asked.wait()
file = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, file)
libc.fclose(file)
done.set()
"""


def arenas(*limit: str, **environment: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", ARENAS, *limit],
        # numpy's own threads would have arenas before there is a limit.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.count("<heap nr=")


def test_memory_that_was_freed_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 0.9


def test_threads_share_as_many_arenas_as_there_may_be() -> None:
    assert arenas("3") == 3 < arenas()


def test_who_has_limited_the_arenas_is_left_alone() -> None:
    assert arenas("3", MALLOC_ARENA_MAX="5") == 5
