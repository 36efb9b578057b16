"""Stage 2: adaptation of a source model to a target without labels, as defined by a recipe.

This package holds the recipes' settings, the norm statistics and the cup prior of the target, the forward pass of
training, the measures without labels, and the writing of the result. ``configs/adapt.json`` uses them; losses and
handlers have packages of their own.
"""
