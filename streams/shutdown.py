"""The shutdown budget: how long each part of a run may take to let go, in one table.

    part                    at the end of a run      after ``close()``, Ctrl-C
    a source that is stuck  SOURCE_S                 SOURCE_S
    an inference begun      INFERENCE_S              INFERENCE_STOPPED_S
    a sink                  SINK_S for each result   SINK_STOPPED_S
    libav, process's end    LIBAV_AT_EXIT_S          LIBAV_AT_EXIT_S

The right column adds up to less than ``CLOSE_S``: whoever waits for a run is free again by then,
whatever is stuck. Everything blocks for ``PIECE_S`` at most before it looks around.
"""

CLOSE_S = 1.0
"""Longest that ``close()`` and Ctrl-C keep anybody waiting."""

PIECE_S = 0.25
"""Longest blocking wait in one piece, so that Ctrl-C is heard on every platform."""

SOURCE_S = 0.3
"""Longest wait for a source that does not let go."""

INFERENCE_S = 10.0
"""Longest wait for an inference that has begun: the process must not end in the middle of one
(C++ that comes back to an interpreter which is gone aborts it)."""

INFERENCE_STOPPED_S = 0.3
"""The same after ``close``; what is stuck then is waited for once more when the process ends."""

SINK_S = 30.0
"""Longest that a sink may take over one result, or over closing, once the run has ended."""

SINK_STOPPED_S = 0.3
"""The same after ``close``."""

LIBAV_AT_EXIT_S = 0.4
"""Longest wait at the end of the process for libav, which asks some ten times a second whether to
go on."""

GLANCE_S = 0.1
"""How soon a thread that waits for a host notices that nobody waits for the answer any more."""
