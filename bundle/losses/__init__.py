"""Losses of adaptation, one per file. Each is a module ``(output, target) -> scalar``; ``AdaptationLoss`` sums them up.

``output`` is an ``AdaptationOutput``. ``target`` holds ``name`` (the photographs' names), ``weak`` (the photographs
before their colours were changed, B x 3 x W x H) and, in a recipe that runs stage 1, the pseudo-labels' ``label``,
``mask`` and ``probability`` (B x 2 x W x H, disc and cup). ``configs/adapt.json`` names the losses; recipes give them
weights.
"""
