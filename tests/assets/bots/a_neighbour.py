import helped

GREETING = "hello"
SAME_MODULE = helped
