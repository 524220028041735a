"""Single files: whole models in the layouts of CompVis, Stability and Black Forest Labs, to and from our parts."""
