"""Which task next, and when a task is done."""
