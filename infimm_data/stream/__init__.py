"""The stream: shards -> documents in a global seeded order -> tokens -> packed rows -> `Batch`."""
