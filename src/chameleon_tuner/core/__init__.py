"""The ground floor: errors, configurations and the outcomes of measuring them.

Every other room may import it; it imports none of them.
"""
