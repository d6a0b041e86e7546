"""The machinery that runs units of work on any kind of cluster, once each, and survives faults."""
