"""The commands: what is typed, what is shown, and how the program ends."""
