"""Losses of adaptation, one a file. Each is a module ``(output, target) -> scalar`` that a recipe weighs by name.

``output`` is an ``AdaptationOutput``; ``target`` holds ``name`` (the photographs' names), ``weak`` (the photographs
before their colours were changed, B x 3 x W x H) and, in a recipe that runs stage 1, its ``label``, ``mask`` and
``probability`` (B x 2 x W x H, disc and cup).
"""
