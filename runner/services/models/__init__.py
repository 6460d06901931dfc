"""Models that run on this machine: installed ones, downloads, helper processes."""
