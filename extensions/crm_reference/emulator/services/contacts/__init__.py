"""Contacts: the behaviour of every operation that the generic behaviours don't serve, a module for each subject.

``registry.load_services`` imports the modules, and importing one registers what it has. :mod:`.selecting` is what they share;
:mod:`.scoring`, :mod:`.segments`, :mod:`.survivorship` and :mod:`.rows` are pure computations that the vectors fix.
"""
