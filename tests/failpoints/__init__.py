"""A crash before, during and after every step of the outbox; losses of power; and failing disks.

The real outbox runs on the real sqlite3 module while `recorder` writes down every step that it takes on the
disk. `disk` says what a crash or a loss of power after, or in the middle of, any of them leaves behind; the real
outbox is opened on that again and `audit` compares what it holds with `history`, which knows what had been
promised by then.
"""
