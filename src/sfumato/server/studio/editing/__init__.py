"""Changing a picture: what is painted anew, what is placed where, and the request that becomes of it."""
