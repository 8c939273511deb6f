"""The studio: a page in the browser to paint with, and to change settings while a picture is painted."""
