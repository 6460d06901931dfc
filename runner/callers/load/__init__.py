"""`botrun load`: many simulated callers at once, and what they measure of a server.

cli/load         → load_processes.py  starts the bot and the processes of callers, reads the server's counters
                 → worker.py          one process of callers; its calls are in calls.py
                 → report.py          merges all measurements into figures and a verdict
                 → search.py          finds how many calls one process carries
                 → chart.py           latency over calls
"""
