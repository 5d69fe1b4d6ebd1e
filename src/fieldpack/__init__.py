"""fieldpack embeds images into small neural networks."""
