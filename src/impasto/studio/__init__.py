"""The studio: a page in the browser where one paints, and steers while it paints."""
