"""Whether the tests would notice: each line that decides something is changed, and some test must fail."""
