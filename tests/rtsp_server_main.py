"""A real RTSP server for tests, run by the system's Python (GStreamer comes from there).

    /usr/bin/python3 rtsp_server_main.py CLIP.mp4 [PORT [basic|digest [WIDTH HEIGHT]]]

Prints its port, then serves ``/clip`` (the H.264 file, once, at its own pace), ``/live`` (an
endless test picture) and ``/locked`` (the same for user ``driver``, password ``p@ss/w0rd``,
which is asked for in the way named; basic by default).
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
CLIP = '( filesrc location="{}" ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 )'
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
    port, method, width, height = given + ["0", "basic", "64", "48"][len(given) :]
    live = LIVE.format(width, height)
    server.set_service(port)
    server.set_auth(_auth(method))
    _mount(server, "/clip", CLIP.format(sys.argv[1]), "anonymous")
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


def _mount(server: GstRtspServer.RTSPServer, path: str, launch: str, role: str) -> None:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    for who in ("anonymous", "driver"):
        factory.add_role_from_structure(_rights(who, may_play=role in ("anonymous", who)))
    server.get_mount_points().add_factory(path, factory)


def _rights(role: str, *, may_play: bool) -> Gst.Structure:
    rights = Gst.Structure.new_empty(role)
    # "Access" without "construct" is answered 401; without "access" it would be 404.
    rights.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
    rights.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, may_play)
    return rights


if __name__ == "__main__":
    main()
