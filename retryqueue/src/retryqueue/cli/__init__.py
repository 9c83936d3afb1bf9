"""The command `retryqueue`: looks at a queue, and works on it."""
