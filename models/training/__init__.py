"""How a network comes to be. The only room where torch and ultralytics may be imported."""
