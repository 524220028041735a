"""The exact eye and judge of composed scenes: what is where in a picture, and whether that was asked for."""
