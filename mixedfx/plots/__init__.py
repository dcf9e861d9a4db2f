"""Pictures, one file each: a table goes in, matplotlib Axes come out. What they share is in `mixedfx.plots.style`."""
