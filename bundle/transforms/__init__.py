"""Dictionary transforms in the manner of MONAI: the view of the disc, cup sizes, label maps, pseudo-labels."""
