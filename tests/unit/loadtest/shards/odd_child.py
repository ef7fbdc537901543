"""A shard as a process that does not keep to the words: what it does stands in its task."""

from __future__ import annotations

import signal
import struct
import sys
import time


def main() -> None:
    (length,) = struct.unpack(">Q", sys.stdin.buffer.read(8))
    match sys.stdin.buffer.read(length):
        case b"speaks nonsense":
            sys.stdout.buffer.write(struct.pack(">Q", 4) + b"what")
            sys.stdout.flush()
            time.sleep(30)
        case b"promises too much":
            sys.stdout.buffer.write(struct.pack(">Q", 1 << 60))
            sys.stdout.flush()
            time.sleep(30)
        case b"complains":
            sys.stderr.write("first line\nthe last word\n")
            sys.exit(4)
        case b"is killed":
            signal.raise_signal(signal.SIGKILL)
        case b"breaks off":
            sys.stdout.buffer.write(struct.pack(">Q", 400) + b"half")


if __name__ == "__main__":
    main()
