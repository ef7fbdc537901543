"""What the program costs, beside programs of the same kind: ``python -m benchmarks`` measures all of it.

Each module can be run alone, too. They need Linux, nginx and two cores: server and client have one each.
"""
