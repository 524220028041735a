"""What a person does with a model: words in, pictures out."""
