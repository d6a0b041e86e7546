"""Runs that are disturbed must end with the products of a run that was left alone: `python -m benchmarks.torture`.

A store of small simulated observations, some of them spoiled, is reduced and mapped once undisturbed. Then it is run again
and again, each time in a fresh folder, and disturbed when a certain part of its units is done: processes are killed or
stopped, or the disk is too small. It is started again until it ends by itself, and must then have set aside the spoiled
observations and no other, each for its own reason, hold the same bytes as the undisturbed run, and have computed nothing
again that was done.

`store` and `spoiling` make the data, `disturbances` says what can happen and plans it, `trial` is one run to its end, on a
`disk` that is too small or on `jobs` of its own if need be, `products` judges what it left, `tally` counts and reports.
"""
