"""The leads service: people who showed interest, the forms by which they come, and the jobs over them."""
