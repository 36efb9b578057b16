"""Several processes that share the work and give the same results as a single process.

The work is shared in two ways. Where photographs are processed independently (measuring, refinement, inference), each
process takes whole batches, which are the batches that a single process would form. In training, each batch is split
by rows, and everything that depends on the whole batch (loss, norm statistics, dropout) is computed over the rows of
all processes.

In a single process, all of these functions and classes leave the work as it is.
"""
