SAID = "from beside"
