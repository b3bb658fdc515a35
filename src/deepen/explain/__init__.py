"""What the answers of a network go by: methods for pictures and for rows of tables, which tasks offer."""
