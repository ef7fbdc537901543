"""What a load test measures: true latencies, figures a second, steady state, comparison, capacity."""
