"""A load test, put together: from its plan to its outcome."""
