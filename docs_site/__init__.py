"""What the documentation site is made with besides Markdown: `make docs`. Nothing of the product imports it."""
