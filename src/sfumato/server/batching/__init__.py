"""Forward passes that pictures share which stand at different steps."""
