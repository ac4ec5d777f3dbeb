"""The live crawl: a list of pages, asked for politely, into WARC files that build like any other archive."""
