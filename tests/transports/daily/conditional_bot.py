"""The bot of DESIGN.md, as people write it: Daily, or a browser, or an error. Its voice is a scripted one."""

from runner import DailyRunnerArguments, RunnerArguments, SmallWebRTCRunnerArguments
from runner.frames import TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.testing.fakes import ScriptedTTS
from runner.transports.params import TransportParams
from runner.vad import SileroVADAnalyzer


async def bot(runner_args: RunnerArguments):
    if isinstance(runner_args, DailyRunnerArguments):
        from runner.transports.daily import DailyParams, DailyTransport

        transport = DailyTransport(
            runner_args.room_url,
            runner_args.token,
            "My bot",
            params=DailyParams(
                audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer()
            ),
        )
    elif isinstance(runner_args, SmallWebRTCRunnerArguments):
        from runner.transports.webrtc import SmallWebRTCTransport

        transport = SmallWebRTCTransport(
            params=TransportParams(
                audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer()
            ),
            webrtc_connection=runner_args.webrtc_connection,
        )
    else:
        raise RuntimeError(f"I cannot talk over {type(runner_args).__name__}")
    task = PipelineTask(Pipeline([transport.input(), ScriptedTTS(word_s=0.1), transport.output()]))

    @transport.event_handler("on_client_connected")
    async def greet(transport, client):
        await task.queue_frame(TTSSpeakFrame("hello you"))

    await PipelineRunner().run(task)
