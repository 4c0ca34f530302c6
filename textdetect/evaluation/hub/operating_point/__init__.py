"""See `operating_point.py`: evaluate wants a folder of its own for each module."""
