"""Arm: ``session.run`` and nothing else, on inputs made before the clock starts.

``all``: one session with every CPU. ``parallel``: a session with one thread for each
CPU, each in a thread of its own, all taking from one pile of work.
"""

from __future__ import annotations

import itertools
import threading
import time

from benchmarks.arms import measuring
from benchmarks.arms.frames import tensors
from benchmarks.arms.networks import Network, Settings
from oneglance.models.cpus import available_cpus

INPUTS = 16


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--how", choices=("all", "parallel"), required=True)
    arguments.add_argument("--spinning", action="store_true", help="leave idle threads spinning")
    options = arguments.parse_args()
    cpus = available_cpus()
    sessions, threads = (1, cpus) if options.how == "all" else (cpus, 1)
    settings = Settings(threads=threads, spinning=options.spinning)
    networks = [Network(options.model, settings) for _ in range(sessions)]
    inputs = tensors(options.clip, networks[0].metadata.size, INPUTS)
    wanted = options.frames + options.warmup + 1
    work = itertools.count()
    stamps_s: list[float] = []

    def run(network: Network) -> None:
        while (number := next(work)) < wanted:
            network.infer(inputs[number % INPUTS])
            stamps_s.append(time.perf_counter())

    workers = [threading.Thread(target=run, args=(network,)) for network in networks]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    measuring.answer(
        intervals_ms=measuring.intervals_ms(sorted(stamps_s), warmup=options.warmup),
        sessions=sessions,
        threads=threads,
    )


if __name__ == "__main__":
    main()
