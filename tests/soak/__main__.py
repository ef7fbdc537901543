"""``python -m tests.soak --minutes 60``: does a fleet that works for long stay as it was?"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.soak.scene import Gateway, descriptors, fleet, free_port, freeze, rss_mib, threads
from tests.soak.verdict import (
    LEAST_JUDGED_S,
    LIMIT_MIB_PER_HOUR,
    WARM_UP_MOST_S,
    WARM_UP_SHARE,
    Samples,
    Verdict,
    judge,
)

_SAMPLE_S: Final = 1.0
_HUNG_S: Final = 6.0
_AWAY_S: Final = 3.0

ABOUT: Final = f"""\
Runs the real program, a fleet in one process, against the real sandbox in another: short cycles and tokens, jobs,
faults at every step, a gateway that hangs, is killed and comes back again and again. RSS, file descriptors and threads of
the fleet are read from /proc every second; every container of the program is counted from inside.

The first {WARM_UP_SHARE:.0%} of the run, at most {WARM_UP_MOST_S / 60:.0f} minutes, are warm-up. Over the rest the slope of RSS is taken by Theil
and Sen over the medians of 24 pieces of time, with Sen's 95 % interval. The last line tells it, and the verdict:

  FLAT               the whole interval is below {LIMIT_MIB_PER_HOUR:g} MiB an hour; descriptors, threads and containers do not grow
  GROWING            the whole interval is above it, anything else grows, or a task is left at the end
  TOO SHORT TO TELL  the interval holds {LIMIT_MIB_PER_HOUR:g} MiB an hour, or the time after the warm-up is under {LEAST_JUDGED_S / 60:g} minutes

Exit codes: 0 FLAT, 1 otherwise, 2 wrong usage.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print the verdict; the exit code."""
    options = _parser().parse_args(arguments)
    if options.minutes <= 0 or options.nodes < 1 or options.every <= 0:
        sys.stderr.write("minutes, nodes and every are above 0\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
        judgement, report = _soak(Path(options.keep or folder), options)
    if options.report is not None:
        options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(judgement)
    return 0 if judgement.verdict is Verdict.FLAT else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True, help="how long the fleet works")
    parser.add_argument("--nodes", type=int, default=120)
    parser.add_argument("--jobs", type=float, default=12.0, metavar="RATE", help="jobs a second (default: 12)")
    parser.add_argument(
        "--every", type=float, default=60.0, metavar="S", help="seconds between two ends of the gateway"
    )
    parser.add_argument(
        "--census", type=float, default=15.0, metavar="S", help="seconds between two counts from inside"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write figures and all measurements as JSON")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder, and leave everything there")
    return parser


def _soak(folder: Path, options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    gateway = Gateway(folder, free_port(), options.jobs)
    gateway.furnish()
    server = gateway.start()
    samples, started, restarts = Samples(), time.time(), 0
    try:
        with fleet(folder, gateway.url, options.nodes, options.census) as process:
            begin = time.monotonic()
            end, next_end = begin + options.minutes * 60, begin + options.every
            while (now := time.monotonic()) < end and process.poll() is None:
                _sample(samples, process, now - begin)
                if now >= next_end and end - now > _HUNG_S * 2:
                    # It hangs before it ends, so that every node has as much under way as it ever has: the memory
                    # that this takes is never given back, and must be seen within the warm-up.
                    freeze(server)
                    _wait(samples, process, begin, _HUNG_S)
                    _kill(server)
                    _wait(samples, process, begin, _AWAY_S)
                    server, restarts = gateway.start(), restarts + 1
                    next_end = time.monotonic() + options.every
                _progress(samples, restarts, options.minutes)
                time.sleep(_SAMPLE_S)
        code = process.returncode
    finally:
        _kill(server)
    censuses = _lines(folder / "census.jsonl")
    judgement = judge(samples, censuses, started)
    sys.stderr.write(f"\nthe fleet ended with {code} after {restarts} ends of its gateway\n{_summary(folder)}\n")
    report = {**judgement.as_json(), "restarts": restarts, "exit_code": code, "samples": vars(samples)}
    return judgement, {**report, "censuses": censuses}


def _sample(samples: Samples, process: subprocess.Popen[bytes], at_s: float) -> None:
    try:
        samples.add(at_s, rss_mib(process.pid), descriptors(process.pid), threads(process.pid))
    except (FileNotFoundError, IndexError):
        return


def _wait(samples: Samples, process: subprocess.Popen[bytes], begin: float, seconds: float) -> None:
    for _ in range(round(seconds / _SAMPLE_S)):
        _sample(samples, process, time.monotonic() - begin)
        time.sleep(_SAMPLE_S)


def _progress(samples: Samples, restarts: int, minutes: float) -> None:
    if len(samples.at_s) % 30 == 1:
        rss, fds = samples.rss_mib[-1], samples.descriptors[-1]
        sys.stderr.write(
            f"{samples.at_s[-1] / 60:5.1f} of {minutes:g} min, RSS {rss:.1f} MiB, {fds} fds, {restarts} restarts\n"
        )


def _kill(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.wait()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _summary(folder: Path) -> str:
    path = folder / "summary.json"
    return path.read_text() if path.exists() else (folder / "fleet.out").read_text()[-2000:]


if __name__ == "__main__":
    sys.exit(main())
