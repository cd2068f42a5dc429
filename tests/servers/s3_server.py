"""A real S3-compatible server for tests, which counts the bytes of objects that it gave."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Counting:
    """A WSGI application that counts what GETs of ``suffix`` give."""

    def __init__(self, inner: Any, suffix: str) -> None:
        self._inner, self._suffix = inner, suffix
        self.bytes = self.requests = 0
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        is_counted = environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith(
            self._suffix
        )
        body = b"".join(self._inner(environ, start))
        if is_counted:
            with self._lock:
                self.bytes += len(body)
                self.requests += 1
        return [body]


@contextmanager
def s3_server(
    monkeypatch: pytest.MonkeyPatch, bucket: str, files: Iterable[Path], *, suffix: str = ".mp4"
) -> Iterator[Counting]:
    """Serve ``files`` in ``bucket``; the environment names the server, for child processes too."""
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")
    held = pytest.importorskip("moto.moto_api._internal").moto_api_backend
    import boto3
    import s3fs
    from werkzeug.serving import make_server

    app = Counting(moto.DomainDispatcherApplication(moto.create_backend_app), suffix)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    s3fs.S3FileSystem.clear_instance_cache()  # one of an earlier test knows an earlier server
    try:
        client = boto3.client("s3")
        client.create_bucket(Bucket=bucket)
        for file in files:
            client.put_object(Bucket=bucket, Key=file.name, Body=file.read_bytes())
        client.close()
        app.bytes = app.requests = 0
        yield app
    finally:
        held.reset()  # what it holds is the process's
        server.shutdown()
        thread.join()
        server.server_close()
