"""The forms in which a data set may lie, a file each: a form names its parts, and lists the items of a part."""
