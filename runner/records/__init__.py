"""Records of calls: their folder, writing them while a call runs, reading and rendering them.

`docs/records.md` describes the files.
"""
