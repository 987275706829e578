"""All notebooks run in order, their numbers held against a reference, a report, and the student edition."""
