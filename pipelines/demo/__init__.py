"""A small web that InfiMM draws itself: its pictures, its pages, its archive, its server and its story."""
