"""The CRM platform's API, written once as a contract and read by five consumers.

``contract`` loads the documents into one model. ``emulator``, ``exchanges``, ``trace`` and ``conformance`` read that model, and
``sphinx`` renders it. Data flows one way, from the contract to its consumers; only ``sphinx`` imports Sphinx.
"""

from importlib.metadata import version

__version__ = version("crm-reference")
