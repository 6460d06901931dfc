def bot(runner_args: object) -> None:
    pass
