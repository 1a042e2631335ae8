"""The passes: they rewrite a program as mathematics, before the stages that decide how it runs."""
