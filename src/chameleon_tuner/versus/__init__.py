"""A tuned model beside other runtimes: each in a process of its own, turn by turn."""
