"""From files to pixels: listing, reading, decoding, fitting. Must not know models, scores or stores."""
