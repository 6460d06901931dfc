import a_package_that_nobody_has.part

async def bot(runner_args: object) -> None:
    a_package_that_nobody_has.part.run()
