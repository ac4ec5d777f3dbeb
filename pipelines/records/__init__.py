"""Records of data files: lines of JSON, rows of tables, members of tars, in bounded memory, what is damaged counted."""
