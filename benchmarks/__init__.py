"""Benchmarks beside the peer, Gammapy 2.1: `python -m benchmarks`. Results are in RESULTS.md and results.json."""
