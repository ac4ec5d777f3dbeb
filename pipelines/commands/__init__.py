"""The commands of `infimm`, grouped by what they work on."""
