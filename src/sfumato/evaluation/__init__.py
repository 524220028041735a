"""Is it good? Measures of what a model makes."""
