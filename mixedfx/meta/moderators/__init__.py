"""Which moderators explain how true effects differ: blocks of meta-regressions, forests, trees, and their comparison."""
