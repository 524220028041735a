"""X-ray pages: how a picture emerged and where its words act, each one file."""
