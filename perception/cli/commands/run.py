"""``oneglance run`` and the models it can run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from oneglance.perception.cli.common import (
    CONNECT,
    Budget,
    Confidence,
    DamagedFrames,
    Debug,
    Device,
    Engine,
    EngineCache,
    Model,
    Precision,
    RtspTransport,
    Stall,
    Tasks,
    Threads,
    Timeout,
    Track,
    configure,
    interrupted,
)
from oneglance.perception.cli.terminal import Terminal
from oneglance.perception.mode import Mode
from oneglance.streams.options import ConnectOptions, Damaged, Transport


def run(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            help="Video file, folder or glob of images, camera number, rtsp, http or udp URL; "
            "'rendered:' (the default) is a drive drawn by oneglance itself."
        ),
    ] = None,
    model: Model = "road4-n",
    mode: Annotated[
        Mode, typer.Option(help="recorded: every frame; live: newest wins.")
    ] = Mode.AUTO,
    tasks: Tasks = None,
    conf: Confidence = 0.25,
    threads: Threads = None,
    engine: Engine = "onnxruntime",
    precision: Precision = None,
    device: Device = None,
    engine_cache: EngineCache = None,
    self_check: Annotated[
        bool, typer.Option(help="See first that the engine computes what the model should.")
    ] = True,
    every: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Look at every Nth frame; between, boxes are the tracker's predictions.",
        ),
    ] = 1,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="x1,y1,x2,y2",
            help="Look at this part of each frame alone, in pixels or in shares from 0 to 1.",
        ),
    ] = None,
    budget: Budget = None,
    track: Track = True,
    jsonl: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write JSON Lines, one object a frame.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Write an annotated video.")] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:TARGET]",
            help="Another output, as often as you like: mcap:out.mcap; see 'oneglance plugins'. "
            "A recorded run waits for its outputs; a live one drops what they are too slow for.",
        ),
    ] = None,
    sink_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Let each output take this share of the CPUs' time at most, like 0.02: results "
            "that would take more are left out of it and counted, in a recorded run too.",
        ),
    ] = None,
    max_frames: Annotated[int | None, typer.Option(help="Stop after this many frames.")] = None,
    json_summary: Annotated[
        Path | None, typer.Option(metavar="FILE|-", help="Write the closing figures.")
    ] = None,
    stream: Annotated[
        int | None, typer.Option(help="Of several videos in one file, this one, from 0.")
    ] = None,
    timeout: Timeout = CONNECT.timeout_s,
    stall: Stall = CONNECT.stall_s,
    transport: RtspTransport = Transport.TCP,
    hwaccel: Annotated[
        str | None, typer.Option(help="Decode with this accelerator (cuda, vaapi, …) or fail.")
    ] = None,
    damaged: DamagedFrames = Damaged.SKIP,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second of recordings that do not say (raw video, images)."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Find pedestrians, cars, signs and lights in videos, images or a live stream."""
    from oneglance.perception.cli.outputs import is_on_standard_output
    from oneglance.perception.cli.runner import DEFAULT_SOURCE, Run, RunOptions
    from oneglance.perception.sinks.files import is_standard_output

    configure(debug)
    # With JSON on standard output, what is for people goes to standard error.
    console = Terminal(
        stderr=any(path is not None and is_standard_output(path) for path in (jsonl, json_summary))
        or any(map(is_on_standard_output, sink or ()))
    )
    options = RunOptions(
        sources=tuple(source or [DEFAULT_SOURCE]),
        model=model,
        mode=mode,
        tasks=tasks,
        confidence=conf,
        threads=threads,
        engine=engine,
        precision=precision,
        device=device,
        engine_cache=engine_cache,
        self_check=self_check,
        every=every,
        region=region,
        budget_ms=budget,
        track=track,
        jsonl=jsonl,
        video=video,
        sinks=tuple(sink or ()),
        sink_share=sink_share,
        max_frames=max_frames,
        json_summary=json_summary,
        stream=stream,
        connect=ConnectOptions(
            timeout_s=timeout,
            stall_s=stall,
            transport=transport,
            hwaccel=hwaccel,
            damaged=damaged,
            fps=fps,
        ),
    )
    job = Run(options, console)
    try:
        with job.reported():
            job.execute()
    except KeyboardInterrupt:
        raise interrupted("interrupted: outputs are closed and valid") from None


def models() -> None:
    """List the models that come with oneglance."""
    from oneglance.models.zoo import list_zoo

    table = Table("model", "input", "classes", "size", "what it is", box=None)
    for entry in list_zoo():
        megabytes = entry.path.stat().st_size / 1e6
        table.add_row(entry.name, entry.input, entry.classes, f"{megabytes:.1f} MB", entry.summary)
    Terminal().print(table)
