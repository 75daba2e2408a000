"""The clauses of the contract, one file for each noun."""
