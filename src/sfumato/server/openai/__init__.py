"""OpenAI's interface: pictures, models, texts that go on."""
