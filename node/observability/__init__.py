"""What subscribes to events and tells people and machines: the bus, logs, metrics."""
