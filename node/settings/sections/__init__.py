"""The tables of the settings file, grouped by what they are about."""
