"""Running the experiments: in one process, as a sweep, or on a dask cluster, all of them span by span (needs torch)."""
