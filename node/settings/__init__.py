"""What operators write: settings, the roster of nodes and the list of proxies, read, checked and explained.

Importing this package alone costs nothing; `node.settings.model` and what needs it import pydantic, the
readers of rosters and proxies do not.
"""
