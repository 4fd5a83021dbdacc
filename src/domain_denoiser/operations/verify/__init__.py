"""`denoise verify`: are the files here what dvc.lock says?"""
