"""Authentication: the behaviour of every operation that the generic behaviours don't serve, a module for each subject.

``registry.load_services`` imports the modules, and importing one registers what it has. What several share: :mod:`.acting` (a
context without a token, hashes, hints), :mod:`.credentials` (opaque Bearer tokens, rules of scopes), :mod:`.key_material` and
:mod:`.keyring` (key pairs, and which of them sign and verify), :mod:`.issuing` (tokens), :mod:`.grants` and :mod:`.sessions`
(what tokens rest on, and how it ends), :mod:`.signing` (what software keys of factors and providers sign). Modules that begin
with ``oauth_`` are the protocol, with ``sso_`` the identity providers.
"""
