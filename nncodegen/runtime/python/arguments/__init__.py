"""Arguments: each is checked, converted and named in errors here, before anything is computed."""
