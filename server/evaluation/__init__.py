"""`repartee eval`: measures a pack on its held-out cases, and a server on real conversations.

Scores are pure (`scores`), what was measured is a value (`figures`), each kind of evidence has
a module of its own, and `report` runs them all. Nothing here trains what is served.
"""
