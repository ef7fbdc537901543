"""A gateway of static answers, by nginx: what a client costs is measured against it, and not what a gateway costs."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TOKEN: Final = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDB9.cTyXsC8pWaWJxVtkGJdCuKX7hNqxzYxTJXHvSTmWe8M"
)
_JOB: Final = (
    '{"job_data":{"job_id":"$request_id","api_key":"developer-key","model":"bench:latest","messages":'
    '[{"role":"user","content":"Name a river."}],"max_output":16,"temperature":0.5}}'
)
_EMPTY: Final = '{"job_data":null}'

_CONFIG: Final = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/errors crit;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  # A share of the polls brings a job; each has an id of its own.
  split_clients "$request_id" $brings {{ {share} job; * none; }}
  map $brings $poll {{ job '{job}'; none '{empty}'; }}
  server {{
    listen 127.0.0.1:{port} backlog=16384;
    location = /worker/get_job {{ return 200 $poll; }}
    location = /worker/update_result {{ return 200 '{{"status":"ok"}}'; }}
    location = /worker/register_node {{ return 200 '{{"access_token":"{token}"}}'; }}
    location = /node/check {{ return 200 '{{"valid_credentials":true}}'; }}
    location = /get_points {{ return 200 '{{"points":1.0,"pointsraw":1.0}}'; }}
    location / {{ return 200 '{{"status":"ok"}}'; }}
  }}
}}
"""


@contextlib.contextmanager
def static_gateway(*, jobs_percent: float, core: int | None = None) -> Iterator[str]:
    """The URL of one that runs within the block, pinned to a core.

    ``jobs_percent`` is the share of its polls that bring a job.
    """
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if nginx is None:
        raise SystemExit("nginx is missing: apt-get install nginx-light")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="static-gateway-") as folder:
        config = Path(folder) / "nginx.conf"
        share = "*" if jobs_percent >= 100 else f"{jobs_percent:.2f}%"
        rules = _CONFIG.replace("* none;", "") if share == "*" else _CONFIG
        if not jobs_percent:
            rules = _CONFIG.replace("{share} job;", "")
        config.write_text(rules.format(folder=folder, share=share, job=_JOB, empty=_EMPTY, port=port, token=_TOKEN))
        pin = [] if core is None else ["taskset", "-c", str(core)]
        server = subprocess.Popen([*pin, nginx, "-c", str(config), "-p", folder, "-e", f"{folder}/errors"])
        try:
            _wait_for(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit("nginx did not start")
