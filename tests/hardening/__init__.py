"""Bad input, kills and full disks: cases as data, entry point × fault."""
