"""An S3-compatible server in this process, with an empty bucket."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

BUCKET = "plateaulens-tests"


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Start the server; yields the environment variables with which fsspec finds it, and which are set meanwhile."""
    import logging

    import fsspec
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would log every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        # buckets are kept by the process, not by the server: those of an earlier one would still be there
        with urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")):
            pass
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
        yield variables
    finally:
        close_clients()
        server.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def close_clients() -> None:
    """Close every connection, of zarr's event loop and of fsspec's: left open, they warn when they are collected."""
    import s3fs
    from fsspec.asyn import sync
    from zarr.core.sync import sync as zarr_sync

    class_ = s3fs.S3FileSystem
    for client in list(class_._cache.values()):
        creator = getattr(client, "_s3creator", None)
        if creator is not None:
            closing = creator.__aexit__(None, None, None)
            zarr_sync(closing) if client.asynchronous else sync(client.loop, lambda closing=closing: closing)
    class_.clear_instance_cache()
