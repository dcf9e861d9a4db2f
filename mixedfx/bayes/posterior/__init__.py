"""The posterior as a value: what sampling left, and the questions asked of it."""
