"""Load tests: a plan, the nodes and jobs that follow it, what they measured, and the verdict."""
