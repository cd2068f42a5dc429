"""Where tables are written: a folder or a bucket, with the same promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oneglance.perception.batch.manifest import BatchOutput
from oneglance.perception.batch.places import open_place
from oneglance.perception.batch.schema import ClipRow, detections_schema
from oneglance.streams import SinkError, UsageError
from s3_server import s3_server

FACTS = {"model_sha256": "ab", "every": 1}
OUT = "s3://fleet/night/out"
SECRET = "hunter2-secret"


def row(name: str) -> ClipRow:
    return ClipRow(uri=name, status="ok", started=datetime.now(UTC))


def boxes(clip: str, count: int = 1) -> Any:
    import pyarrow as pa

    one = dict.fromkeys(detections_schema().names, 1) | {"clip": clip, "task": "car"}
    one |= {"class": "car", "model": "m", "model_sha256": "ab"}
    return pa.Table.from_pylist([one] * count, schema=detections_schema())


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """A bucket ``fleet`` of a real server; gives the names of its objects."""
    with s3_server(monkeypatch, "fleet", []):
        import s3fs

        fs = s3fs.S3FileSystem(skip_instance_cache=True)

        def names() -> list[str]:
            fs.invalidate_cache()
            return sorted(name.removeprefix("fleet/") for name in fs.find("fleet"))

        yield names


def put(name: str, content: bytes) -> None:
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).pipe_file(name, content)


def test_a_run_goes_on_in_a_bucket_and_others_read_it_as_tables(
    store: Callable[[], list[str]],
) -> None:
    import pyarrow.parquet as pq
    import s3fs

    output = BatchOutput(OUT, FACTS)
    output.add(row("a"), [boxes("a", 3)], [])
    output.commit()
    output.add(row("b"), [boxes("b")], [])
    output.close()
    again = BatchOutput(OUT, FACTS)
    assert again.finished() == {"a", "b"}
    long = again.scratch / ".oneglance-0123456789ab.part"
    pq.write_table(boxes("long", 2), long)
    again.add(row("long"), [], [long])
    again.close()
    assert not long.parent.exists()
    assert [name.removeprefix("night/out/") for name in store()] == [
        ".oneglance.json",
        "batch.json",
        *(f"clips/part-{number:06}.parquet" for number in (1, 2, 3)),
        *(f"detections/part-{number:06}.parquet" for number in (1, 2)),
        "detections/part-000003-1.parquet",
    ]
    fs = s3fs.S3FileSystem(skip_instance_cache=True)
    table = pq.read_table("fleet/night/out/detections", filesystem=fs)
    assert sorted(table["clip"].to_pylist()) == ["a"] * 3 + ["b"] + ["long"] * 2


def test_what_a_killed_run_left_in_a_bucket_counts_nothing(
    store: Callable[[], list[str]],
) -> None:
    output = BatchOutput(OUT, FACTS)
    output.add(row("a"), [boxes("a")], [])
    output.close()
    put("fleet/night/out/detections/part-000002.parquet", b"PAR1")
    again = BatchOutput(OUT, FACTS)
    assert again.finished() == {"a"}
    again.close()
    assert "night/out/detections/part-000002.parquet" not in store()


def test_other_settings_or_tables_in_a_bucket_are_refused_and_fresh_begins_anew(
    store: Callable[[], list[str]],
) -> None:
    output = BatchOutput(OUT, FACTS)
    output.add(row("a"), [boxes("a")], [])
    output.close()
    before = store()
    with pytest.raises(UsageError, match=r"s3://fleet/night/out was begun with other.*every 1"):
        BatchOutput(OUT, {**FACTS, "every": 2})
    put("fleet/night/out/batch.json", json.dumps({"oneglance.schema": 99}).encode())
    with pytest.raises(UsageError, match=r"version 99.*version 1"):
        BatchOutput(OUT, FACTS)
    assert store() == before
    anew = BatchOutput(OUT, {**FACTS, "every": 2}, fresh=True)
    assert anew.finished() == set()
    anew.close()
    assert [name for name in store() if name.endswith(".parquet")] == []


def test_what_is_not_ours_in_a_bucket_is_refused_and_not_touched(
    store: Callable[[], list[str]],
) -> None:
    put("fleet/night/out/notes.txt", b"mine")
    put("fleet/night/output.txt", b"beside")
    for fresh in (False, True):
        with pytest.raises(SinkError, match=r"s3://fleet/night/out holds .*notes\.txt"):
            BatchOutput(OUT, FACTS, fresh=fresh)
    assert store() == ["night/out/notes.txt", "night/output.txt"]
    output = BatchOutput("s3://fleet/other/", FACTS)
    output.add(row("a"), [boxes("a")], [])
    output.close()
    put("fleet/other/clips/notes.txt", b"mine")
    with pytest.raises(SinkError, match=r"clips/notes\.txt"):
        BatchOutput("s3://fleet/other", FACTS, fresh=True)
    assert "other/clips/part-000001.parquet" in store()
    put("fleet/trained/.oneglance.json", b'{"made_by": "oneglance train"}')
    with pytest.raises(SinkError, match="made by 'oneglance train'"):
        BatchOutput("s3://fleet/trained", FACTS)


@pytest.mark.usefixtures("store")
def test_a_bucket_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(SinkError, match=r"s3://no-such-bucket/out\S*: there is no such bucket"):
        BatchOutput("s3://no-such-bucket/out", FACTS)


@pytest.mark.usefixtures("store")
def test_no_permission_to_write_is_a_sentence() -> None:
    from moto.core.authorization import enable_iam_authentication

    with (
        enable_iam_authentication(),
        pytest.raises(SinkError, match=r"s3://fleet/night/out\S*: no permission"),
    ):
        BatchOutput(OUT, FACTS)


def test_a_store_that_does_not_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    with pytest.raises(SinkError, match=r"s3://fleet/night/out: its server does not answer"):
        BatchOutput(OUT, FACTS)


@pytest.mark.parametrize(
    "out", ["https://host/out", "rtsp://host/1", f"s3://AKIA:{SECRET}@fleet/out", "memory://out"]
)
def test_a_place_that_nothing_can_be_written_to_is_a_sentence(out: str) -> None:
    with pytest.raises(UsageError, match="cannot write to") as caught:
        open_place(out)
    assert SECRET not in str(caught.value)


def test_a_file_address_is_a_folder(tmp_path: Path) -> None:
    BatchOutput(f"file://{tmp_path}/out", FACTS).close()
    assert (tmp_path / "out" / "batch.json").exists()
