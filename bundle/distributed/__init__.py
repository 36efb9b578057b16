"""More than one process: the same results as one process, from a share of the work each.

Two things are shared out: where a photograph stands for itself (measuring, refinement, inference) whole batches are
dealt out, so that each batch is the one that a single process would see; in training each batch is split by rows, and
what depends on the batch as a whole (loss, norm statistics, dropout) is computed over all of its rows.

Nothing here does anything in a single process.
"""
