"""Units that all of the package shares."""

AB_ZEROPOINT_NJY = 31.4  # AB magnitude of 1 nJy
