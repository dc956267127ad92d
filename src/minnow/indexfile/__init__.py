"""The SQLite file that `minnow.search` and `minnow.memory` keep their tables in.

`opening.py` opens it, a `Store` reads and writes it in transactions, and each package registers
its tables as a `TableOwner`.
"""
