"""Security: the behaviour of every operation that the generic behaviours don't serve, a module for each subject."""
