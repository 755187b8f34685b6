"""Where the time of a tuned network goes, kernel by kernel, and what the machine could do."""
