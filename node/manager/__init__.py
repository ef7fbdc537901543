"""The fleet: who starts when, who brings nodes back, and how all of them stop."""
