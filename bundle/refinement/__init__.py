"""Stage 1 of Grad-CL: from stochastic passes to pseudo-labels that uncertainty and prototypes trust."""
