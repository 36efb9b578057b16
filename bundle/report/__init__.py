"""From predictions to what the user keeps: masks, overlays, tables and the page."""
