bot = "hello"
