"""The machine that a node runs on: what it has, how busy it is, and whether it may take more work."""
