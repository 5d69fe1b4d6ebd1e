"""The pyramid codec: latent grids, a synthesis network and a context model fitted to one image."""
