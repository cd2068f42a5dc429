"""HLS: playlists, live or finished, and what came of them."""
