"""What a load test does, as data: read from TOML, checked, and turned into a schedule."""
