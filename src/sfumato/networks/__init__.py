"""Networks: tensors in, tensors out; parameters named as diffusers and transformers name them."""
