"""Where tasks run: one file a kind of cluster, imported only when used. `base` says what an engine is."""
