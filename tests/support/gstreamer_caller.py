#!/usr/bin/python3
"""A caller made of GStreamer's webrtcbin. It sends a tone and counts what returns. For the system's Python.

    gstreamer_caller.py SECONDS

It prints its offer as a line of JSON, reads the answer from stdin, and at the end prints what it has seen:
`state` of the connection, `packets` of sound received, the loudest sound (`peak`, 0 to 1), and `messages`
that came through the data channel after it said `{"hello": 1}`.
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

RTP = (
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000,"
    "encoding-params=(string)2,ssrc=(uint)7"
)
OUT = (
    "webrtcbin name=peer bundle-policy=max-bundle "
    "audiotestsrc is-live=true wave=sine freq=440 ! audio/x-raw,rate=48000,channels=1 ! opusenc ! "
    "rtpopuspay pt=96 ssrc=7 ! "
    f"{RTP} ! peer."
)
IN = (
    "rtpopusdepay ! opusdec ! audioconvert ! audio/x-raw,format=S16LE,channels=1 ! "
    "fakesink name=ear signal-handoffs=true sync=false"
)


class Caller:
    def __init__(self, seconds):
        self.seconds = seconds
        self.packets = self.peak = 0
        self.messages = []
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(OUT)
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        self.peer.connect("pad-added", self.hear)
        self.pipeline.get_bus().add_signal_watch()
        self.pipeline.get_bus().connect("message::error", self.failed)
        self.pipeline.set_state(Gst.State.READY)
        # Without, an offer that is asked for before the first sound has come is empty.
        self.peer.emit("get-transceiver", 0).set_property("codec-preferences", Gst.Caps.from_string(RTP))
        self.channel = self.peer.emit("create-data-channel", "chat", None)
        self.channel.connect("on-open", lambda channel: channel.emit("send-string", json.dumps({"hello": 1})))
        self.channel.connect("on-message-string", lambda channel, text: self.messages.append(text))
        self.pipeline.set_state(Gst.State.PLAYING)
        GLib.idle_add(self.offer)

    def failed(self, bus, message):
        print(json.dumps({"error": str(message.parse_error())}), flush=True)
        self.loop.quit()

    def offer(self):
        promise = Gst.Promise.new()
        self.peer.emit("create-offer", None, promise)
        promise.wait()
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        done = Gst.Promise.new()
        self.peer.emit("set-local-description", offer, done)
        done.wait()
        # PyGObject frees what these hold with the last of them.
        self.kept = promise, reply, offer, done
        return False

    def gathered(self, peer, _):
        if peer.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            return
        sdp = peer.get_property("local-description").sdp.as_text()
        print(json.dumps({"type": "offer", "sdp": sdp}), flush=True)
        threading.Thread(target=self.read_answer, daemon=True).start()

    def read_answer(self):
        GLib.idle_add(self.take_answer, json.loads(sys.stdin.readline())["sdp"])

    def take_answer(self, text):
        _, sdp = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        done = Gst.Promise.new()
        self.peer.emit("set-remote-description", answer, done)
        done.wait()
        self.kept += answer, done
        GLib.timeout_add(int(1000 * self.seconds), self.report)
        return False

    def hear(self, peer, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        ear = Gst.parse_bin_from_description(IN, True)
        ear.get_by_name("ear").connect("handoff", self.heard)
        self.pipeline.add(ear)
        ear.sync_state_with_parent()
        pad.add_probe(Gst.PadProbeType.BUFFER, self.count)
        pad.link(ear.get_static_pad("sink"))

    def count(self, pad, info):
        self.packets += 1
        return Gst.PadProbeReturn.OK

    def heard(self, sink, buffer, pad):
        samples = memoryview(buffer.extract_dup(0, buffer.get_size())).cast("h")
        self.peak = max([self.peak, *map(abs, samples)])

    def report(self):
        found = {
            "state": self.peer.get_property("connection-state").value_nick,
            "packets": self.packets,
            "peak": self.peak / 32768,
            "messages": self.messages,
        }
        print(json.dumps(found), flush=True)
        self.pipeline.set_state(Gst.State.NULL)
        self.loop.quit()
        return False


Gst.init(None)
Caller(float(sys.argv[1])).loop.run()
