"""What tests and plug-ins share: landscapes, fake measurers, contract suites."""
