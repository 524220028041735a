"""The studio: pages on which a person makes pictures, changes them, looks inside and trains; `attach` adds them."""
