"""Accounts: the behaviour of every operation that the generic behaviours don't serve, a module for each subject.

:mod:`.selecting` and :mod:`.reaching` are what the others share; :mod:`.figures`, :mod:`.likeness` and :mod:`.survivorship` are
pure computations that the vectors fix.
"""
