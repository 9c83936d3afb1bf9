"""Where effects are caught: at the socket, so that client libraries run unmodified, their own retries with them."""
