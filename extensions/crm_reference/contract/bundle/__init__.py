"""The bundle: what a reader downloads, a folder a service.

:func:`write_bundle` promises documents that need nothing else (no reference leaves a file), that carry the examples which ran, and
that come out the same byte for byte from the same contract. It doesn't check anything: a contract with findings gives a bundle with
faults.
"""

from crm_reference.contract.bundle.write import bundle_files, write_bundle

__all__ = ["bundle_files", "write_bundle"]
