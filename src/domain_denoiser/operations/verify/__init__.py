"""`denoise verify`: is what lies here what dvc.lock says?"""
