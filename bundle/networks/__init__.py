"""The network: encoder, decoder, head, its nested classes and its weights."""
