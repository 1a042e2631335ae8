"""Results of trainings and of fits: their values, statistics, intervals, tables, pictures and files."""
