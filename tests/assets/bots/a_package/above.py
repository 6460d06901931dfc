SAID = "from above"
