"""A gateway of static answers, by nginx: what a client costs is measured against it, and not what a gateway costs."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.cores import bound, on_core
from benchmarks.figures import Unmeasurable

TOKEN: Final = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDB9.cTyXsC8pWaWJxVtkGJdCuKX7hNqxzYxTJXHvSTmWe8M"
)
POLL: Final = "/worker/get_job"
RESULT: Final = "/worker/update_result"
_JOB: Final = (
    '{"job_data":{"job_id":"$request_id","api_key":"developer-key","model":"bench:latest","messages":'
    '[{"role":"user","content":"Name a river."}],"max_output":16,"temperature":0.5}}'
)
_EMPTY: Final = '{"job_data":null}'
_STATUS: Final = "/server/status"

_CONFIG: Final = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/errors crit;
events {{ worker_connections 16384; }}
http {{
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  # A tenth of the requests is written down, to see that each client makes those that it should.
  log_format asked '$request_method $uri $status';
  split_clients "$request_id of the log" $is_kept {{ 10% 1; * 0; }}
  access_log {folder}/asked asked buffer=32k flush=200ms if=$is_kept;
  # A share of the polls brings a job; each has an id of its own.
  split_clients "$request_id" $brings {{ {share} job; * none; }}
  map $brings $poll {{ job '{job}'; none '{empty}'; }}
  server {{
    listen 127.0.0.1:{port} backlog=16384;
    location = {status} {{ stub_status; access_log off; }}
    location = {poll} {{ return 200 $poll; }}
    location = {result} {{ return 200 '{{"status":"ok"}}'; }}
    location = /worker/register_node {{ return 200 '{{"access_token":"{token}"}}'; }}
    location = /node/check {{ return 200 '{{"valid_credentials":true}}'; }}
    location = /get_points {{ return 200 '{{"points":1.0,"pointsraw":1.0}}'; }}
    location / {{ return 200 '{{"status":"ok"}}'; }}
  }}
}}
"""


class StaticGateway:
    """One that runs; made by `static_gateway`."""

    def __init__(self, port: int, folder: Path) -> None:
        """Say where it listens, and where its files are."""
        self.url = f"http://127.0.0.1:{port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._asked = folder / "asked"
        self._read = 0

    def requests(self) -> int:
        """How many requests it has had, this question included."""
        self._connection.request("GET", _STATUS)
        lines = self._connection.getresponse().read().decode().splitlines()
        return int(lines[2].split()[2])

    def sample(self) -> Counter[str]:
        """A tenth of the requests since the last call, by method, path and status."""
        time.sleep(0.3)
        with self._asked.open() as file:
            file.seek(self._read)
            lines = Counter(line.rstrip("\n") for line in file)
            self._read = file.tell()
        return lines

    def close(self) -> None:
        """Ask it nothing more."""
        self._connection.close()


@contextlib.contextmanager
def static_gateway(*, jobs_percent: float, core: int | None = None) -> Iterator[StaticGateway]:
    """One that runs within the block, pinned to a core.

    ``jobs_percent`` is the share of its polls that bring a job.

    Raises:
        Unmeasurable: nginx is missing, or does not start.
    """
    nginx = find_nginx()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="static-gateway-") as folder:
        config = Path(folder) / "nginx.conf"
        share = "*" if jobs_percent >= 100 else f"{jobs_percent:.2f}%"
        rules = _CONFIG.replace("* none;", "") if share == "*" else _CONFIG
        if not jobs_percent:
            rules = _CONFIG.replace("{share} job;", "")
        names = {"folder": folder, "port": port, "token": TOKEN, "status": _STATUS, "poll": POLL, "result": RESULT}
        config.write_text(rules.format(**names, share=share, job=_JOB, empty=_EMPTY))
        command = [nginx, "-c", str(config), "-p", folder, "-e", f"{folder}/errors"]
        server = subprocess.Popen(bound(*command) if core is None else on_core(core, *command))
        try:
            _wait_for(port, server)
            with contextlib.closing(StaticGateway(port, Path(folder))) as gateway:
                yield gateway
        finally:
            server.terminate()
            server.wait(10)


def find_nginx() -> str:
    """Where it is.

    Raises:
        Unmeasurable: nowhere.
    """
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if nginx is None:
        raise Unmeasurable("nginx is missing: apt-get install nginx-light")
    return nginx


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise Unmeasurable("nginx did not start")
