"""The search for the optic disc, and what it is trained on."""
