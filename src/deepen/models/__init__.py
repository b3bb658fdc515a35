"""The networks: one file per architecture, shapes in and shapes out."""
