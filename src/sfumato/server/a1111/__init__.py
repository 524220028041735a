"""The interface of AUTOMATIC1111's stable-diffusion-webui, as far as common clients use it."""
