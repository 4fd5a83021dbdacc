"""How good restored images are: tables of one row an image, their means, intervals, figures."""
