"""What a figure is worth: calibrations and their promise, metrics, intervals, multiple tests."""
