"""Samplers: of many candidates, the few that are measured."""
