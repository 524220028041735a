"""Training watched from a page: the data looked at, the time told, a process of its own started, followed, stopped."""
