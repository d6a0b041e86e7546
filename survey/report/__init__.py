"""What people look at: figures, FITS images, FITS datasets for other programs."""
