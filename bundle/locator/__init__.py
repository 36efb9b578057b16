"""The search for the optic disc, and the training examples of its network."""
