"""Arm: one network or several, with as many frames at once as there are CPUs.

Each frame is one thread's from its decoded image to the boxes of all networks, which have one
thread each: the setting in which a recording takes least time, whatever the networks are.
"""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

from benchmarks.arms import measuring
from benchmarks.arms.frames import endless
from benchmarks.arms.networks import Network, Settings
from oneglance.models.cpus import available_cpus
from oneglance.models.engines.loading import DEFAULT_ENGINE, DEFAULT_PRECISION, PRECISIONS
from oneglance.models.letterbox import Canvas


def main() -> None:
    arguments = measuring.parser(__doc__, model=False)
    arguments.add_argument("--models", type=Path, nargs="+", required=True)
    arguments.add_argument("--engine", choices=tuple(PRECISIONS), default=DEFAULT_ENGINE)
    arguments.add_argument("--precision", default=DEFAULT_PRECISION)
    options = arguments.parse_args()
    settings = Settings(
        threads=1, spinning=False, engine=options.engine, precision=options.precision
    )
    wanted = options.frames + options.warmup + 1
    frames, turns, taking = endless(options.clip), itertools.count(), threading.Lock()
    done_s: list[float] = []
    counts: list[int] = []
    errors: list[BaseException] = []

    def work(networks: list[Network]) -> None:
        canvas = Canvas(networks[0].metadata.size)
        try:
            while True:
                with taking:  # decoding goes in turns, as in any loop over one recording
                    if next(turns) >= wanted:
                        return
                    image = next(frames).image
                tensor, geometry = canvas.fill(image)
                found = [network.boxes(network.infer(tensor)).xyxy for network in networks]
                counts.append(sum(len(geometry.to_source(boxes)) for boxes in found))
                done_s.append(time.perf_counter())
        except BaseException as error:  # noqa: BLE001 - raised where it is seen
            errors.append(error)

    sets = [[Network(file, settings) for file in options.models] for _ in range(available_cpus())]
    workers = [threading.Thread(target=work, args=(each,)) for each in sets]
    began_cpu_s = time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    measuring.answer(
        intervals_ms=measuring.intervals_ms(sorted(done_s), warmup=options.warmup),
        cpu_ms=1e3 * (time.process_time() - began_cpu_s) / wanted,
        boxes=sum(counts),
    )


if __name__ == "__main__":
    main()
