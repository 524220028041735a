"""The pieces of a trace: what is recorded while a picture emerges, and what is made of it."""
