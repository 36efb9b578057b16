"""Stage 2: adaptation of a source model by a recipe."""
