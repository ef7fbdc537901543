"""One node's life: it starts, polls, runs jobs, checks, drains and stops. It knows neither HTTP nor an engine."""
