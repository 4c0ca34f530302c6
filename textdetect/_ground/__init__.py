"""What every room stands on: whole files, optional libraries, progress, settings, the version."""
