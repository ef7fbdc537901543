"""Values and rules, pure: standard library only, no input, no output, no clock."""
