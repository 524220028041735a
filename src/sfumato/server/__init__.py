"""The HTTP API, the queue and the studio."""
