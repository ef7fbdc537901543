"""What asyncio and SQLite leave to their users: waits that wake, tasks that are owned, a database on a thread."""
