"""The subcommands of `loopfront`, one module each."""
