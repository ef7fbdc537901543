"""What became of every job of a load test, reconciled from what nodes saw and what the gateway says."""
