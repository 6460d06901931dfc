import sys

sys.exit("no key")
