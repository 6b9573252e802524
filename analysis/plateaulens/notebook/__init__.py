"""What a notebook calls: a model and activations in memory, walked, compared, drawn and reported on as any run is."""
