"""A teacher's soft labels of the picks, beside them: which views of each picture, what the teacher says of each."""
