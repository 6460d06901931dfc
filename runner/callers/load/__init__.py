"""Many callers at once, and what they measure of the server: `botrun load`.

cli/load/command.py → gang.py        starts the bot and the callers (processes.py), reads the server's meter
            → worker.py      one process of callers: echo_calls.py or talk_calls.py
            → report.py      all that was measured, as figures and a verdict
            → breaking.py    how many calls one process carries
            → chart.py       latency over calls
"""
