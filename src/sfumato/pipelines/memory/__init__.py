"""What making a picture takes, what there is, and how to do with less."""
