"""What a language model reads: texts as token numbers."""
