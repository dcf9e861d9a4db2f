"""Which moderators explain how true effects differ: meta-regressions by blocks, forests, trees, their comparison."""
