"""InfiMM: the model, its training loop, generation and evaluation.

One letter per axis, everywhere in this room: B rows, T tokens per row, N images in the batch, P patches per
image, L latents per image, D text width, V vision width, H heads, K head width, C channels.
"""
