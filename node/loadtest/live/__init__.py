"""A load test while it lasts, for whoever watches or steers it."""
