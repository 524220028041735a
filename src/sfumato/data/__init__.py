"""Pictures with captions: where they come from, how they are read, kept and put in order."""
