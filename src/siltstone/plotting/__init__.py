"""Pictures of tables of aggregates: rows become panels, panels a scene of plain marks, a scene a PNG or a page."""
