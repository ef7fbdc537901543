"""What a load test leaves behind: a page for people, and files for machines."""
