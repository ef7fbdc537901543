"""The gateway's wire, for both sides: what is sent where, in which shape, and what an answer means."""
