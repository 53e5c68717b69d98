"""What every answer to a browser is made with: cookies, rendered pages, static files, error pages."""
