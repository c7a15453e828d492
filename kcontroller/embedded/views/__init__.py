"""How objects and the catalog are shown: JSON, tables, metadata alone, discovery, OpenAPI."""
