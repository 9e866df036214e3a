"""One self-contained HTML file about an inspection or an evaluation."""
