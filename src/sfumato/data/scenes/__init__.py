"""Scenes composed of little pictures: what is in each is known, and so is what may be said of it."""
