from runner.processors import FrameProcessor


class Echo(FrameProcessor):
    def process_frame(self, frame, direction):
        pass
