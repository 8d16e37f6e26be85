"""The universal rules, a module for each group of requirements, and the laws that some of them rest on."""

from importlib import import_module

#: Modules that register rules.
_MODULES = ("requests", "errors", "security", "limits", "services", "messages", "validation", "versions", "integrations")


def load() -> None:
    """Register every rule."""
    for name in _MODULES:
        import_module(f"{__name__}.{name}")
