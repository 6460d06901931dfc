"""Two calls compared: what each was like (`facts`), what differs (`findings`), and the `verdict`."""
