"""What is measured: the language model, its sparse autoencoder, and the prompts."""

from plateaulens.subject.lazily import lazily

lazily("wandb")  # SAELens imports it, uses it where it trains, and is a second longer in coming with it
