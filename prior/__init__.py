"""How the shipped prior is trained; also the reference of the engine's gradients."""
