"""What a load test must show: comparisons such as ``p99.poll < 50ms``, parsed, checked and judged."""
