"""A load test over several processes or machines: the words between its shards and who leads them, and the ways to start them."""
