"""Stage 1 of Grad-CL: pseudo-labels of a target's photographs, without labels of it.

``PseudoLabeller`` labels a batch from stochastic passes through the head, ``Prototypes`` tell which of its pixels to
trust, and ``PseudoLabelStore`` writes both to disk. ``configs/refine.json`` and ``configs/adapt.json`` run
``RefinementEvaluator``, which ties them together; ``SeparationLoss`` uses the class features too.
"""
