"""The journal: which changes were asked of a cloud, and what became of them.

Its place is the control plane: it survives the process that asks, so that another one resumes the
same operation. It holds names, ids and tokens, no keys and no credentials.
"""

from cloudcrypt.journal.entry import Entry, Journal, OnBusy, State
from cloudcrypt.journal.sqlite import SqliteJournal

__all__ = ["Entry", "Journal", "OnBusy", "SqliteJournal", "State"]
