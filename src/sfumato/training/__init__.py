"""Recipes, the loop and the stages that train a whole model from zero."""
