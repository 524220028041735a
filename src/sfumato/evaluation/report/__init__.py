"""The report card: one page about one model, whole in itself."""
