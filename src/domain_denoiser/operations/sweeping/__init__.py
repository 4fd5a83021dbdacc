"""`denoise sweep`: many trainings of one model with settings that are drawn, several at a time by Ray."""
