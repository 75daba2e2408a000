"""The key service over gRPC: what Constellation's clients and servers speak, on both ends.

`cloudcrypt.keyservice.client` asks one, `cloudcrypt.keyservice.server` is one. Both need the extra
``keyservice``; this module itself imports nothing, so that the rest of cloudcrypt does without.
"""
