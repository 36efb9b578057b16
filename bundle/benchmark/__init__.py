"""The benchmark: every recipe on every target, scored, compared and published as a page; and measurements of speed.

``python -m bundle.benchmark`` (``make benchmark``) runs it: plan, setup and targets define the runs; execution performs
them; record and results store and read the results; statistics, tables, figures and page present them. Modules with a
command line of their own (onnx_speed, scaling, suitability, sweep, throughput, trial, trust) answer one question each.
"""
