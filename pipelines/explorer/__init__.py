"""The explorer: a finished build in the browser, on this machine alone; `infimm explore OUT`."""
