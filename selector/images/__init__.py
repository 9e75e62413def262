"""From files to pixels: listing, reading, decoding, fitting."""
