"""Making the sparse autoencoder and the prompts that ship with PlateauLens, from the model's own text."""
