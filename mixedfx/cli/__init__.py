"""The command `mixedfx`: fits and effects without writing Python. Start at `mixedfx.cli.app`."""
