"""Web archives as records: WARC, ARC and WACZ, recovered around damage, in bounded memory."""
