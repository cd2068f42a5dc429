"""A real RTSP server for tests, run by the system's Python (GStreamer comes from there).

    /usr/bin/python3 rtsp_server_main.py CLIP.mp4 [PORT [basic|digest [WIDTH HEIGHT [CODEC LOSES]]]]

Prints its port, then serves ``/clip`` (the file, once, at its own pace), ``/live`` (an
endless test image) and ``/locked`` (the same for user ``driver``, password ``p@ss/w0rd``,
which is asked for in the way named; basic by default). CODEC of the file: h264, h265 or mpeg4.
LOSES: which RTP packets of it are lost: ``FRAME:PACKET``, both from 0, with commas between.
Without a clip it only says, by its exit code, whether it could run.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

LIVE = (
    "( videotestsrc is-live=true ! video/x-raw,width={},height={},framerate=25/1 "
    "! x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
# What passes a payloader comes in lists; "identity" takes them apart, so that one can be lost.
CLIP = '( filesrc location="{}" ! qtdemux ! {} mtu=400 pt=96 ! identity name=pay0 )'
CODECS = {
    "h264": "h264parse ! rtph264pay",
    "h265": "h265parse ! rtph265pay",
    "mpeg4": "mpeg4videoparse ! rtpmp4vpay",
}
ELEMENTS = ("filesrc", "qtdemux", "h264parse", "rtph264pay", "videotestsrc", "x264enc")


def main() -> None:
    Gst.init(None)
    missing = [name for name in ELEMENTS if Gst.ElementFactory.find(name) is None]
    if missing:
        sys.exit(f"GStreamer lacks {', '.join(missing)}")
    if len(sys.argv) < 2:
        return
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    given = sys.argv[2:]
    usual = ["0", "basic", "64", "48", "h264", ""]
    port, method, width, height, codec, loses = given + usual[len(given) :]
    live = LIVE.format(width, height)
    server.set_service(port)
    server.set_auth(_auth(method))
    clip = _mount(server, "/clip", CLIP.format(sys.argv[1], CODECS[codec]), "anonymous")
    clip.connect("media-configure", lambda _, media: _lose(media, set(loses.split(","))))
    _mount(server, "/live", live, "anonymous")
    _mount(server, "/locked", live, "driver")
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _auth(method: str) -> GstRtspServer.RTSPAuth:
    auth = GstRtspServer.RTSPAuth()
    auth.set_default_token(_token("anonymous"))
    if method == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest("driver", "p@ss/w0rd", _token("driver"))
    else:
        basic = GstRtspServer.RTSPAuth.make_basic("driver", "p@ss/w0rd")
        auth.add_basic(basic, _token("driver"))
    return auth


def _token(role: str) -> GstRtspServer.RTSPToken:
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, role)
    return token


def _lose(media: GstRtspServer.RTSPMedia, lost: set[str]) -> None:
    """Let those packets of the media get lost."""
    frame, packet, last = -1, 0, None

    def pass_on(_: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        nonlocal frame, packet, last
        time = info.get_buffer().extract_dup(4, 4)
        frame, packet = (frame, packet + 1) if time == last else (frame + 1, 0)
        last = time
        is_lost = f"{frame}:{packet}" in lost
        return Gst.PadProbeReturn.DROP if is_lost else Gst.PadProbeReturn.OK

    payloader = media.get_element().get_by_name("pay0")
    payloader.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, pass_on)


def _mount(
    server: GstRtspServer.RTSPServer, path: str, launch: str, role: str
) -> GstRtspServer.RTSPMediaFactory:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    for who in ("anonymous", "driver"):
        factory.add_role_from_structure(_rights(who, may_play=role in ("anonymous", who)))
    server.get_mount_points().add_factory(path, factory)
    return factory


def _rights(role: str, *, may_play: bool) -> Gst.Structure:
    rights = Gst.Structure.new_empty(role)
    # "Access" without "construct" is answered 401; without "access" it would be 404.
    rights.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
    rights.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, may_play)
    return rights


if __name__ == "__main__":
    main()
