"""The network: encoder, session network, checkpoints and their registry (not built yet)."""
