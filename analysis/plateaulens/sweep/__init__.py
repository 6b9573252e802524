"""Sweeps: many runs that differ in sites, SAE, model or seed, collected one after the other and summarized as one."""
