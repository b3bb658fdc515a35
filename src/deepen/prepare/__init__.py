"""Tables to tensors, learnt once and kept with the model."""
