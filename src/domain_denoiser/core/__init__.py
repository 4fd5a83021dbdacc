"""The basis of every stage: the array convention, noise, metrics, seeds, the device."""
