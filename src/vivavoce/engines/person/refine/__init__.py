"""The refinement: a small net for the inside of one person's mouth, trained on the person's own film with torch."""
