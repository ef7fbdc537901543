"""Carries a plan out: nodes that come, go and misbehave as it orders, jobs that arrive on time, and what came of it."""
