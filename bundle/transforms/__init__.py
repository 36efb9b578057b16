"""MONAI dictionary transforms: the view of the disc, cup sizes, label maps, pseudo-labels, intensities, seeds."""
