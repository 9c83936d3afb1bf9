"""What `check` finds, inside linters that people run already. Each module is imported by its linter alone."""
