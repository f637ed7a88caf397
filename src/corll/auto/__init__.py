"""`--model auto`: which model of the catalogue this machine gets, and how it comes here."""
