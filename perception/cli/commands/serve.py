"""``oneglance serve``: the live page, and metrics for those who watch many."""

from __future__ import annotations

import importlib.util
import logging
from enum import StrEnum
from typing import Annotated

import typer

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
    missing,
    say,
)
from oneglance.perception.cli.summary import render_summary
from oneglance.perception.cli.terminal import Terminal
from oneglance.streams.options import ConnectOptions, Damaged, Transport

DEFAULT_SOURCE = "rendered:?frames=inf"


class Label(StrEnum):
    """How metrics name sources: as ``SourceLabel``, which the extra brings."""

    PLAIN = "plain"
    HASHED = "hashed"
    NONE = "none"


def serve(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            help="Cameras, rtsp, http or udp URLs, or files, played as if they were live; "
            "'rendered:' (the default) is a drive drawn by oneglance itself."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8080,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ONEGLANCE_TOKEN",
            help="What a visitor must know; beyond this machine one is made where none is given. "
            "Its holder may add and remove sources.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name under which the page is asked for.")
    ] = None,
    view_fps: Annotated[
        float,
        typer.Option(
            help="Most frames a second of a source that a viewer gets; half as many, or "
            "less, where the network cannot keep up."
        ),
    ] = 20.0,
    metrics_source: Annotated[
        Label, typer.Option(help="How metrics name sources: plain, hashed or not at all.")
    ] = Label.PLAIN,
    model: Model = "road4-n",
    tasks: Tasks = None,
    conf: Confidence = 0.25,
    threads: Threads = None,
    engine: Engine = "onnxruntime",
    precision: Precision = None,
    device: Device = None,
    engine_cache: EngineCache = None,
    budget: Budget = None,
    track: Track = True,
    timeout: Timeout = CONNECT.timeout_s,
    stall: Stall = CONNECT.stall_s,
    transport: RtspTransport = Transport.TCP,
    damaged: DamagedFrames = Damaged.SKIP,
    debug: Debug = False,
) -> None:
    """Show sources live in a browser, with boxes; until Ctrl-C or until all have ended."""
    configure(debug)
    for name in ("starlette", "uvicorn", "websockets", "prometheus_client"):
        if importlib.util.find_spec(name) is None:
            raise missing("serve", name)
    # In debug logs they would print requests whole, tokens and cookies too; and every bad request
    # of a stranger would be a warning.
    for name in ("uvicorn", "uvicorn.error", "websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.ERROR)

    from oneglance.perception.server.running import ServeOptions, serve_sources

    options = ServeOptions(
        sources=tuple(source or [DEFAULT_SOURCE]),
        host=host,
        port=port,
        token=token,
        hosts=tuple(allow_host or ()),
        label=metrics_source,
        model=model,
        tasks=tasks,
        confidence=conf,
        threads=threads,
        engine=engine,
        precision=precision,
        device=device,
        engine_cache=engine_cache,
        budget_ms=budget,
        track=track,
        view_fps=view_fps,
        connect=ConnectOptions(
            timeout_s=timeout, stall_s=stall, transport=transport, damaged=damaged
        ),
    )
    try:
        summary = serve_sources(options, say=say)
    except KeyboardInterrupt:
        raise interrupted("interrupted: the page is closed") from None
    Terminal().print(render_summary(summary), crop=False)
