"""What runs a job: stored answers, Ollama, synthetic text; and wrappers that order and limit them."""
