"""Running the experiments: one process, a sweep, or a dask cluster, all of them the same chunks (needs torch)."""
