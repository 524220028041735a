"""Files: model folders in the layout that diffusers and transformers read, safetensors only, written all or nothing."""
