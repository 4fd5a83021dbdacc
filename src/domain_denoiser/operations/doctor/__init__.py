"""`denoise doctor`: what of the environment is not as the project needs it?"""
