"""Every figure of the notebooks and the report; the only importer of matplotlib."""
