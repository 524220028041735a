"""X-ray pages: how a picture emerged and where its words act; one file, or pieces that another page holds."""
