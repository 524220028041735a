"""The command line: one module per command, each thin; torch is imported only when a command runs."""
