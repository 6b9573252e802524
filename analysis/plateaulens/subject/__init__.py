"""What is measured: the language model, its sparse autoencoder, and the prompts."""
