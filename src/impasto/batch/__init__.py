"""`impasto batch`: many pictures, on all cores of one machine or, through Ray, on a cluster."""
