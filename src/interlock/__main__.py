"""`python -m interlock` is the `interlock` command."""

from interlock.cli.main import run

if __name__ == "__main__":
    run()
