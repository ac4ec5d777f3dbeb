"""Sources, passes on Ray, reports and the `infimm` command."""
