"""What pages of HTML are made of: a frame, marks, curves; each page is one file that asks nothing of the world."""
