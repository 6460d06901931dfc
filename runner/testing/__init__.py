"""What tests of a bot import: fakes with a clock, and a loop in virtual time."""
