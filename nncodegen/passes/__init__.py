"""What rewrites a program as mathematics, before anybody decides how it runs."""
