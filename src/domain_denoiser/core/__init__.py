"""What every stage depends on: the array convention, noise, metrics, seeds, the device."""
