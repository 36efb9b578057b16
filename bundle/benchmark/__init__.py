"""The benchmark: every recipe on every target, scored, compared and published as a page; and measurements of speed.

``python -m bundle.benchmark`` (``make benchmark``) does it: plan, setup and targets say what is run; execution runs it;
record and results keep and read what was found; statistics, tables, figures and page show it. Modules with a command
line of their own (onnx_speed, scaling, suitability, sweep, throughput, trial, trust) answer one question each.
"""
