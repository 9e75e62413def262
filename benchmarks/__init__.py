"""What writes the tables of docs/: measurements of the shipped packages, which import nothing of it. Not in the wheel."""
