"""How every committed result is made; see README.md here."""
