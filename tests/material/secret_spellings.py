"""Addresses that hold a secret, in every spelling that people use; each contains ``S3CRET``."""

from __future__ import annotations

_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJTM0NSRVQifQ.S3CRET-dBjftJeZ4CVPmB92K27uhbUJU1p1r"
_HEX = "9f86d081884c7d659a2feaa0c55ad015S3CRET"

_AWS = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=S3CRET%2F20261127%2Feu-west-1%2Fs3%2F"
    "aws4_request&X-Amz-Date=20261127T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&"
    "X-Amz-Security-Token=S3CRET//x&X-Amz-Signature=S3CRET"
)
_GOOGLE = (
    "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=S3CRET%40p.iam.gserviceaccount.com%2F"
    "20261127%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Signature=S3CRET"
)

USER_INFO = [
    "{scheme}://admin:S3CRET@{host}/{path}",
    "{scheme}://S3CRET@{host}/{path}",
    "{scheme}://:S3CRET@{host}/{path}",
    "{scheme}://admin:pa:S3CRET@{host}/{path}",
    "{scheme}://admin:p@S3CRET@{host}/{path}",
    "{scheme}://admin:S3CRET/w0rd@{host}/{path}",
    "{scheme}://admin:S3CRET?w0rd@{host}/{path}",
    "{scheme}://admin:S3CRET#w0rd@{host}/{path}",
    "{scheme}://admin:my S3CRET word@{host}/{path}",
    "{scheme}://admin:'S3CRET'@{host}/{path}",
    '{scheme}://admin:"S3CRET"@{host}/{path}',
    "{scheme}://admin:S3CRET\\w0rd@{host}/{path}",
    "{scheme}://DOMAIN\\admin:S3CRET@{host}/{path}",
    "{scheme}://admin:S3CRET%40%2F%3A@{host}/{path}",
    "{scheme}://admin%3AS3CRET@{host}/{path}",
    "{scheme}://admin%3AS3CRET%40{host}/{path}",
    "{scheme}://admin:S3CRET%40{host}/{path}",
    "{scheme}://admin:S3CRET/{path}",
    "{scheme}:/admin:S3CRET@{host}/{path}",
    "{scheme}:///admin:S3CRET@{host}/{path}",
    "{scheme}//admin:S3CRET@{host}/{path}",
    "{scheme}:admin:S3CRET@{host}/{path}",
    "{scheme}:\\\\admin:S3CRET@{host}\\{path}",
    "//admin:S3CRET@{host}/{path}",
    "admin:S3CRET@{host}/{path}",
    "admin:p@S3CRET@{host}/{path}",
    "admin:S3CRET@192.168.1.64/{path}",
    "admin:S3CRET@[fe80::1]/{path}",
    "{scheme}://admin:S3CRET@[::1]:9/{path}",
    "{scheme}://admin:S3CRET@[fe80::1%25eth0]:9/{path}",
    "RTSP://ADMIN:S3CRET@{host}/{path}",
    "hTTp://admin:S3CRET@{host}/{path}",
    "{scheme}%3A%2F%2Fadmin%3AS3CRET%40{host}%2F{path}",
    "ftp://admin:S3CRET@{host}/{path}",
    "{scheme}://us%40er:S3CRET%40x@{host}/{path}",
    "{scheme}://us@er:S3CRET@{host}/{path}",
    "{scheme}://admin:S3CRET@[fe80::1%eth0]:9/{path}",
    "{scheme}://admin:S3CRET:80@{host}/{path}",
    "{scheme}://пользователь:S3CRET@{host}/{path}",
    "{scheme}://admin:S3CRET%00@{host}/{path}",
    "HTTPS://Admin:S3CRET@{host}/{path}",
    "http_proxy=http://admin:S3CRET@{host}/{path}",
    "feed:{scheme}://admin:S3CRET@{host}/{path}",
    "URL:{scheme}://admin:S3CRET@camera",
    "{scheme}\N{FULLWIDTH COLON}//admin:S3CRET@{host}/{path}",
]
"""``{scheme}``, ``{host}`` (with a port) and ``{path}`` are to be filled in."""

PATHS = [
    "user=admin_password=S3CRET_channel=1_stream=0.sdp",
    "user=admin&password=S3CRET&channel=1&stream=0.sdp",
    "user=admin_password=S3_CRET_S3CRET=x_channel=1_stream=0.sdp",
    "user=admin,password=S3CRET,channel=1",
    "user%3Dadmin_password%3DS3CRET_channel%3D1",
    "cam/pin=S3CRET/live",
    "live;jsessionid=S3CRET",
    "live;jsessionid=S3CRET;v=1/index.m3u8?fps=5",
    "live;S3CRET",
    "live;pw=p@S3CRET",
    "token/S3CRET/live",
    "key/S3CRET",
    "access_token/S3CRET/a.mp4",
    f"v1/{_JWT}/live.m3u8",
    f"hls/{_HEX}/index.m3u8",
    f"hls/{_HEX}.m3u8",
    "live/S3CRETuser/S3CRETpass/1234.ts",
    "admin:S3CRET/live",
    "Streaming/Channels/101?auth=YWRtaW46S3CRET==",
    "S3CRETYWRtaW46MTIzNDU2==/live",
    "live/token-S3CRET/index.m3u8",
    "live/access_token:S3CRET/index.m3u8",
    "live/sessionid~S3CRET.m3u8",
    "live/(S(S3CRET))/index.m3u8",
    "live,password=S3CRET,fps=5",
    'x?q={"token":"S3CRET"}',
    'x?q={"token": "S3CRET", "fps": 5}&fps=5',
    'x?q={"a":{"b":"S3CRET"}}',
    'x?q=["a","S3CRET"]',
    'x?t="S3CRET"',
    "x?t='S3CRET'",
    "hls/st=S3CRET,e=1790000000/x.ts",
    "hls/hdntl=exp=1790000000~acl=%2f*~data=hdntl~hmac=S3CRET/x.ts",
    "live%3Ftoken%3DS3CRET",
    "live%253Ftoken%253DS3CRET",
    "live;token=S3CRET;fps=5",
]

QUERIES = [
    "access_token=S3CRET",
    "token=S3CRET&fps=5",
    "fps=5&sig=S3CRET",
    "u=admin&p=S3CRET",
    "usr=admin&pwd=S3CRET",
    "loginuse=admin&loginpas=S3CRET",
    "user=admin&password=S3CRET&channel=1",
    "anything=S3CRET",
    "u=admin&t=S3CRET&s=S3CRET",
    "t=S3CRET",
    "password=p@S3CRET",
    "password=p@S3CRET/x&fps=5",
    "mail=me@S3CRET&password=S3CRET",
    "a[b]=S3CRET",
    "PASSWORD=S3CRET",
    "%70assword=S3CRET",
    "S3CRET",
    "admin:S3CRET",
    "fps=5;password=S3CRET",
    "fps=5%26password=S3CRET",
    "fps=5%26password%3DS3CRET",
    "fps=S3CRETS3CRETabc123def456ghi7",
    "url=rtsp://admin:S3CRET@10.0.0.9/x&fps=5",
    "url=rtsp%3A%2F%2Fadmin%3AS3CRET%4010.0.0.9%2Fx",
    "url=rtsp%253A%252F%252Fadmin%253AS3CRET%254010.0.0.9%252Fx",
    "a=1?password=S3CRET",
    "fps=5#access_token=S3CRET",
    "fps=5#S3CRET",
    _AWS,
    "AWSAccessKeyId=S3CRET&Expires=1790000000&Signature=vjbyPxybdZaNmGa%2ByT272YEAiv4S3CRET%3D",
    _GOOGLE,
    "GoogleAccessId=S3CRET@p.iam.gserviceaccount.com&Expires=1790000000&Signature=S3CRET",
    "sv=2024-11-04&ss=b&srt=o&sp=r&se=2026-12-01T00:00:00Z&sig=S3CRET%3D",
    "Policy=eyJTdGF0ZW1lbnQiS3CRET__&Signature=S3CRET~-x&Key-Pair-Id=S3CRET",
    "hdnts=exp=1790000000~acl=/*~hmac=S3CRET",
    "wmsAuthSign=S3CRET==",
    "width=S3CRET",
    "seed=S3CRETS3CRET&fps=5",
    "port=80S3CRET",
    "expires=S3CRET",
    "cam=admin:S3CRET",
    "fps&password=S3CRET",
    "password[]=S3CRET&password[]=S3CRET",
    "fps=5&=S3CRET",
    "q=%2570assword%253DS3CRET",
    "a=1%26password%3DS3CRET",
    "id_token=S3CRET#access_token=S3CRET&token_type=bearer",
    "fps=5#/login?token=S3CRET",
    "streamid=#!::u=admin,r=S3CRET&mode=caller",
    "authorization=Bearer%20S3CRET",
    "__token__=exp=1790000000~hmac=S3CRET",
    "redirect=%2F%2Fadmin%3AS3CRET%4010.0.0.9%2F",
    "KEYID=S3CRET&md5=S3CRET",
    "sp=r&st=2026-01-01T00:00:00Z&se=2026-12-01T00:00:00Z&sv=2024-11-04&sr=b&sig=S3CRET%2Bx%3D",
    "пароль=S3CRET",
]


def spellings(scheme: str, host: str, path: str) -> list[str]:
    """Every spelling, as addresses of ``path`` (or of what follows it) on ``host``."""
    found = [each.format(scheme=scheme, host=host, path=path) for each in USER_INFO]
    found += [f"{scheme}://{host}/{path}/{each}" for each in PATHS]
    found += [f"{scheme}://{host}/{path}?{each}" for each in QUERIES]
    return [*found, f"{scheme}://{host}/{path}#S3CRET", f"{host}/{path}?token=S3CRET"]
