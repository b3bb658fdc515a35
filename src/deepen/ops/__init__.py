"""Pure functions over tensors: losses, sequences, boxes, augmentation."""
