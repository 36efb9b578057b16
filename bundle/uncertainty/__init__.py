"""How good a prediction is likely to be, without labels."""
