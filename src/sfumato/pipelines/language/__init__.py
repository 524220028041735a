"""Writing with a language model: prompts that go on, captions, and how likely a text is."""
