"""`python -m mixedfx` is the command `mixedfx`."""

from mixedfx.cli.app import main

if __name__ == "__main__":
    main()
