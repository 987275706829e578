"""The subcommands of `unsep`, one module each."""
