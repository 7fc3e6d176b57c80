"""What hostile people try on a real installation: an attack is a function that says what must hold and yields what fell."""
