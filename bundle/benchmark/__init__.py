"""The benchmark: every recipe on every target in one harness, and measurements beside it."""
