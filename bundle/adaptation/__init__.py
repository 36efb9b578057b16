"""Stage 2: adaptation of a source model to a target without labels, as a recipe says.

The room holds the recipes' settings, the norm statistics and the cup prior of the target, the forward pass of training,
the measures without labels and the result that is written. ``configs/adapt.json`` calls them; losses and handlers have
rooms of their own.
"""
