"""The ground that every room uses: the facts of a model, update rules, texts, tables, pictures, archives, progress."""
