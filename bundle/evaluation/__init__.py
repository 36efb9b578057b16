"""Scores against labels. Nothing else in the package reads what this room reads."""
