"""Is data good? What is wrong with pictures and captions, each with a score and a reason, before a model learns it."""
