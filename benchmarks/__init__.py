"""Speed of the CPU kernels and of whole models, against baselines and against what the machine can do.

``python -m benchmarks`` runs the registry; speeds are never asserted in tests.
"""
