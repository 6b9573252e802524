"""The perturbation engine: from paths between activations to curves of the model's response."""
