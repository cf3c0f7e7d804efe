"""How results are shown: tables, charts, pages and exports."""
