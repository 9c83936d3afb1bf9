"""What `interlock init` writes: first settings, and the entries that make an assistant ask `interlock hook`."""
