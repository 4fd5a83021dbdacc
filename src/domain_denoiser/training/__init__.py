"""How a network is fitted: the loop, optimizers, checkpoints."""
