"""How a network comes to be. The only room where torch and ultralytics may be imported.

ultralytics looks up public hosts when it is imported, and posts what it does to an analytics host,
unless it is set to be offline before that. This door is passed before any import of it, so it is
set here, and left unless the program or its environment said otherwise.
"""

import os
import sys

if "ultralytics" not in sys.modules:
    os.environ.setdefault("YOLO_OFFLINE", "true")
