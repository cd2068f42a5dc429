"""RTSP as libav plays it, with the packets that it does not miss."""
