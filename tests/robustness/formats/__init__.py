"""Hundreds of variants of picture files, each read as a second decoder reads it or refused with a reason."""
