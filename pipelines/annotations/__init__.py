"""Annotation files of instruction and task sets: their rows, their images in a folder, their conversations."""
