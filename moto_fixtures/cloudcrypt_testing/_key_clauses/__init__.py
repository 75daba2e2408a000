"""The clauses of the contracts of a KMS and of a store of wrapped keys, by subject."""
