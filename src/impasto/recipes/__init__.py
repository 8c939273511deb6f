"""How a picture was painted, written down: kept in its file, compared, and painted again."""
